package storage

// apply makes events visible that continue the cache's revision, all at once,
// and gives them to the watchers. Only the feed's goroutine calls it.
func (s *Store) apply(events []Event) {
	s.cache.applying.Lock()
	defer s.cache.applying.Unlock()
	table := s.cache.prefixes.Load()
	changes := make([]*Change, 0, len(events))
	views := map[*Collection]*tree{}
	for _, e := range events {
		c := table.find(e.Record.Key)
		if c == nil {
			continue
		}
		if change := c.apply(e); change != nil {
			changes = append(changes, change)
			views[c] = nil
		}
	}
	for c := range views {
		views[c] = c.tree.copy()
	}
	// Before readers can see the new revision: who goes back from it needs them.
	s.hub.record(changes)

	revision := events[len(events)-1].Revision
	s.cache.mu.Lock()
	for c, view := range views {
		c.view = view
	}
	s.cache.applyRaw(events, table)
	s.cache.state.Revision = revision
	s.cache.mu.Unlock()

	s.feed.release(revision)
	s.hub.publish(changes, revision)
	for _, change := range changes {
		if change.Previous != nil {
			s.encodings.drop(change.Previous)
		}
	}
	s.metrics.applied.Add(float64(len(events)))
}

// apply changes the tree that readers don't have yet.
func (c *Collection) apply(e Event) *Change {
	previous := c.tree.get(e.Record.Key)
	change := &Change{Revision: e.Revision, Previous: previous, collection: c}
	switch {
	case !e.Delete():
		r := e.Record
		r.Created = e.Revision
		if previous != nil {
			// One key string for all versions, or each would keep its own alive.
			r.Key, r.Created = previous.Key, previous.Created
		}
		change.Object = describeRecord(c.describe, r)
		c.tree.put(change.Object)
	case previous != nil:
		c.tree.remove(previous.Key)
	default:
		return nil
	}
	return change
}

// applyRaw keeps the records of no collection, under mu.
func (c *cache) applyRaw(events []Event, table *prefixTable) {
	for _, e := range events {
		switch {
		case table.find(e.Record.Key) != nil:
		case e.Delete():
			delete(c.raw, e.Record.Key)
		default:
			r := e.Record
			r.Created = e.Revision
			if previous, ok := c.raw[r.Key]; ok {
				r.Created = previous.Created
			}
			c.raw[r.Key] = r
		}
	}
}
