package queue

import "container/heap"

// heapOf keeps items by an order and knows where each is.
type heapOf struct {
	items []*Item
	less  func(a, b *Item) bool
}

func (h *heapOf) Len() int           { return len(h.items) }
func (h *heapOf) Less(i, j int) bool { return h.less(h.items[i], h.items[j]) }
func (h *heapOf) Swap(i, j int) {
	h.items[i], h.items[j] = h.items[j], h.items[i]
	h.items[i].index, h.items[j].index = i, j
}

func (h *heapOf) Push(x any) {
	item := x.(*Item)
	item.index = len(h.items)
	h.items = append(h.items, item)
}

func (h *heapOf) Pop() any {
	last := len(h.items) - 1
	item := h.items[last]
	h.items[last] = nil
	h.items = h.items[:last]
	return item
}

func (h *heapOf) push(item *Item)   { heap.Push(h, item) }
func (h *heapOf) fix(item *Item)    { heap.Fix(h, item.index) }
func (h *heapOf) order()            { heap.Init(h) }
func (h *heapOf) remove(item *Item) { heap.Remove(h, item.index) }

func (h *heapOf) first() *Item {
	if len(h.items) == 0 {
		return nil
	}
	return h.items[0]
}

func (h *heapOf) pop() *Item {
	if len(h.items) == 0 {
		return nil
	}
	return heap.Pop(h).(*Item)
}
