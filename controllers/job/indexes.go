package job

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/howdah/howdah/controllers/pod"
)

// An interval has all indexes from first to last.
type interval struct{ first, last int }

// indexes are a set of indexes as sorted intervals that don't touch, which is
// how a Job's status writes them: "1,3-5,7".
type indexes []interval

// parse reads indexes below completions. What isn't an index is left out: the
// status is the controller's own, and a Job must not stop for it.
func parse(text string, completions int) indexes {
	if text == "" {
		return nil
	}
	var all indexes
	for part := range strings.SplitSeq(text, ",") {
		from, to, isRange := strings.Cut(part, "-")
		if !isRange {
			to = from
		}
		first, err := strconv.Atoi(from)
		last, lastErr := strconv.Atoi(to)
		if err != nil || lastErr != nil || first < 0 || first >= completions || last < first {
			continue
		}
		all = append(all, interval{first, min(last, completions-1)})
	}
	return indexes{}.with(all)
}

// of are the indexes of a list.
func of(list []int) indexes {
	all := make(indexes, len(list))
	for i, index := range list {
		all[i] = interval{index, index}
	}
	return indexes{}.with(all)
}

// with is the union of both.
func (x indexes) with(others indexes) indexes {
	all := slices.Concat(x, others)
	slices.SortFunc(all, func(a, b interval) int { return cmp.Or(cmp.Compare(a.first, b.first), cmp.Compare(a.last, b.last)) })
	var union indexes
	for _, next := range all {
		if n := len(union); n > 0 && next.first <= union[n-1].last+1 {
			union[n-1].last = max(union[n-1].last, next.last)
		} else {
			union = append(union, next)
		}
	}
	return union
}

func (x indexes) has(index int) bool {
	_, found := slices.BinarySearchFunc(x, index, func(i interval, index int) int {
		switch {
		case i.last < index:
			return -1
		case i.first > index:
			return 1
		}
		return 0
	})
	return found
}

func (x indexes) count() (n int) {
	for _, i := range x {
		n += i.last - i.first + 1
	}
	return n
}

// common is how many indexes are in both.
func (x indexes) common(y indexes) (n int) {
	for i, j := 0, 0; i < len(x) && j < len(y); {
		n += max(0, min(x[i].last, y[j].last)-max(x[i].first, y[j].first)+1)
		if x[i].last < y[j].last {
			i++
		} else {
			j++
		}
	}
	return n
}

// missing are the first count indexes below completions that aren't in x.
func (x indexes) missing(count, completions int) []int {
	var free []int
	next := 0
	for _, taken := range append(slices.Clone(x), interval{completions, completions}) {
		for ; next < min(taken.first, completions) && len(free) < count; next++ {
			free = append(free, next)
		}
		next = max(next, taken.last+1)
	}
	return free
}

// String writes two neighbours as "3,4", as upstream does.
func (x indexes) String() string {
	parts := make([]string, len(x))
	for i, r := range x {
		switch r.last - r.first {
		case 0:
			parts[i] = strconv.Itoa(r.first)
		case 1:
			parts[i] = fmt.Sprintf("%d,%d", r.first, r.last)
		default:
			parts[i] = fmt.Sprintf("%d-%d", r.first, r.last)
		}
	}
	return strings.Join(parts, ",")
}

// indexOf is the completion index of a pod, or noIndex.
func indexOf(p *corev1.Pod) int {
	index, err := strconv.Atoi(p.Annotations[batchv1.JobCompletionIndexAnnotation])
	if err != nil || index < 0 {
		return noIndex
	}
	return index
}

const noIndex = -1

// indexesOf are the indexes that pods have.
func indexesOf(pods []*corev1.Pod) indexes {
	var list []int
	for _, p := range pods {
		if index := indexOf(p); index != noIndex {
			list = append(list, index)
		}
	}
	return of(list)
}

// superfluous tells active pods that an indexed Job must not have, those without
// an index, or with one that is too large or that another pod has, from the rest.
func superfluous(active []*corev1.Pod, completions int) (excess, rest []*corev1.Pod) {
	byIndex := map[int][]*corev1.Pod{}
	var order []int
	for _, p := range active {
		index := indexOf(p)
		if index == noIndex || index >= completions {
			excess = append(excess, p)
			continue
		}
		if byIndex[index] == nil {
			order = append(order, index)
		}
		byIndex[index] = append(byIndex[index], p)
	}
	slices.Sort(order)
	for _, index := range order {
		same := byIndex[index]
		pod.Order{}.Sort(same)
		excess = append(excess, same[:len(same)-1]...)
		rest = append(rest, same[len(same)-1])
	}
	return excess, rest
}
