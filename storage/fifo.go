package storage

// A fifo is a queue of changes, oldest first.
type fifo struct {
	items []*Change
	head  int
}

func (f *fifo) push(c *Change) { f.items = append(f.items, c) }

func (f *fifo) len() int { return len(f.items) - f.head }

// all is valid until the fifo changes.
func (f *fifo) all() []*Change { return f.items[f.head:] }

func (f *fifo) pop() *Change {
	c := f.items[f.head]
	f.items[f.head] = nil
	f.head++
	if f.head > len(f.items)/2 {
		n := copy(f.items, f.items[f.head:])
		clear(f.items[n:])
		f.items, f.head = f.items[:n], 0
	}
	return c
}
