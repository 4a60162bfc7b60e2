package attach

import (
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// A ledger is what isn't in the API: what the two queues tell each other, and
// what was in objects that are gone.
type ledger struct {
	mu sync.Mutex
	// detaches that were asked for, by node and volume, and when.
	detaches map[string]map[string]time.Time
	// plain are the volumes of nodes that have no VolumeAttachments.
	plain map[string]map[string]bool
	// attachments are the names of VolumeAttachments by volume.
	attachments map[string]map[string]bool
	volumes     map[string]string // the other way round
	// told are the nodes whose pods were told that they wait for a volume.
	told map[string]map[string]bool
	// lastInUse is what nodes that are gone used last.
	lastInUse map[string][]corev1.UniqueVolumeName
}

func newLedger() *ledger {
	return &ledger{
		detaches: map[string]map[string]time.Time{}, plain: map[string]map[string]bool{}, attachments: map[string]map[string]bool{},
		volumes: map[string]string{}, told: map[string]map[string]bool{}, lastInUse: map[string][]corev1.UniqueVolumeName{},
	}
}

// ask asks for a detach, once.
func (l *ledger) ask(node, volume string, now time.Time) (first bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, ok := l.detaches[node][volume]; ok {
		return false
	}
	if l.detaches[node] == nil {
		l.detaches[node] = map[string]time.Time{}
	}
	l.detaches[node][volume] = now
	return true
}

// withdraw takes an ask back.
func (l *ledger) withdraw(node, volume string) (had bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, had = l.detaches[node][volume]
	delete(l.detaches[node], volume)
	if len(l.detaches[node]) == 0 {
		delete(l.detaches, node)
	}
	return had
}

// asked are the detaches that were asked for from a node.
func (l *ledger) asked(node string) map[string]time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make(map[string]time.Time, len(l.detaches[node]))
	for volume, since := range l.detaches[node] {
		out[volume] = since
	}
	return out
}

// setPlain notes that a node has a volume, or not, that needs no attachment.
func (l *ledger) setPlain(node, volume string, has bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	set(l.plain, node, volume, has)
}

// plainOf are the volumes of a node that need no attachment.
func (l *ledger) plainOf(node string) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return keys(l.plain[node])
}

// plainVolumes are those of all nodes.
func (l *ledger) plainVolumes() (names []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, volumes := range l.plain {
		names = append(names, keys(volumes)...)
	}
	return names
}

// plainNodes are the nodes that have a volume that needs no attachment.
func (l *ledger) plainNodes(volume string) (nodes []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for node, volumes := range l.plain {
		if volumes[volume] {
			nodes = append(nodes, node)
		}
	}
	return nodes
}

// learn notes whose VolumeAttachment one is.
func (l *ledger) learn(attachment, volume string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.volumes[attachment] = volume
	set(l.attachments, volume, attachment, true)
}

// forget drops a VolumeAttachment that is gone.
func (l *ledger) forget(attachment string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	set(l.attachments, l.volumes[attachment], attachment, false)
	delete(l.volumes, attachment)
}

func (l *ledger) volumeOf(attachment string) (string, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	volume, ok := l.volumes[attachment]
	return volume, ok
}

func (l *ledger) attachmentsOf(volume string) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return keys(l.attachments[volume])
}

// known are all volumes that some node has.
func (l *ledger) known() []string {
	plain := l.plainVolumes()
	l.mu.Lock()
	defer l.mu.Unlock()
	return append(plain, keys(l.attachments)...)
}

// tell notes who waits for a volume, and returns those who weren't told.
func (l *ledger) tell(volume string, waiting []string) (news []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	before := l.told[volume]
	delete(l.told, volume)
	for _, node := range waiting {
		if !before[node] {
			news = append(news, node)
		}
		set(l.told, volume, node, true)
	}
	return news
}

// nodeGone keeps what a node used last; forgetNode drops it, when the node is
// back or has no volumes any more.
func (l *ledger) nodeGone(node *corev1.Node) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(node.Status.VolumesInUse) > 0 {
		l.lastInUse[node.Name] = node.Status.VolumesInUse
	}
}

func (l *ledger) forgetNode(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.lastInUse, name)
}

func (l *ledger) usedLast(node string) []corev1.UniqueVolumeName {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lastInUse[node]
}

func set(sets map[string]map[string]bool, key, member string, has bool) {
	switch {
	case has && sets[key] == nil:
		sets[key] = map[string]bool{member: true}
	case has:
		sets[key][member] = true
	default:
		delete(sets[key], member)
		if len(sets[key]) == 0 {
			delete(sets, key)
		}
	}
}

func keys[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for key := range m {
		out = append(out, key)
	}
	return out
}
