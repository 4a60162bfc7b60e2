package nodeipam

import (
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/howdah/howdah/controllers/reconcile"
)

// TestAssign gives many nodes their parts at the same time: none twice, none that
// a node had before, and the same one when asked again.
func TestAssign(t *testing.T) {
	node := func(i int) *corev1.Node {
		return &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint("node-", i), UID: types.UID(fmt.Sprint("uid-", i))}}
	}
	had := node(0)
	had.Spec.PodCIDRs = []string{"10.64.7.0/24"}
	x := &controller{
		client: fake.NewSimpleClientset(had), held: map[string]holding{}, waits: map[string]bool{},
		parts: []*parts{newParts(Range{netip.MustParsePrefix("10.64.0.0/19"), 24})},
		queue: reconcile.NewQueue[string](&reconcile.Controller{}, "test", 0, nil),
	}
	var given sync.Map
	var all sync.WaitGroup
	for i := 1; i < 32; i++ {
		all.Go(func() {
			for range 2 {
				prefixes, err := x.assign(t.Context(), node(i))
				if err != nil {
					t.Error(err)
				} else if holder, taken := given.LoadOrStore(prefixes[0], i); taken && holder != i {
					t.Errorf("%v is node %d's and node %d's", prefixes[0], holder, i)
				}
			}
		})
	}
	all.Wait()
	if _, taken := given.Load(netip.MustParsePrefix("10.64.7.0/24")); taken {
		t.Error("what a node had was given again")
	}
	if _, err := x.assign(t.Context(), node(32)); !errors.Is(err, errExhausted) || !x.waits["node-32"] {
		t.Errorf("a node too many: %v", err)
	}
	// Another node of a name has nothing of its namesake's until that has gone.
	x.gone(&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "node-5", UID: "another"}})
	if _, held := x.held["node-5"]; !held {
		t.Error("a namesake's end took a node's part")
	}
	x.gone(node(5))
	if _, err := x.assign(t.Context(), node(32)); err != nil || len(x.waits) != 0 {
		t.Errorf("after one went: %v", err)
	}
}
