package storage_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/howdah/howdah/storage"
	"github.com/howdah/howdah/storage/storagetest"
)

// An operation on one key, as the checker sees it. Every written value is
// unique, so that it names the version; "" is no object.
type operation struct {
	key            string
	write          bool
	expect, become string
}

type result struct {
	value   string // that was read
	done    bool   // the write was applied
	unknown bool   // it may have been, or may be later
}

// registers is a compare-and-swap register for each key.
var registers = porcupine.NondeterministicModel{
	Partition: func(history []porcupine.Operation) (parts [][]porcupine.Operation) {
		byKey := map[string][]porcupine.Operation{}
		for _, o := range history {
			key := o.Input.(operation).key
			byKey[key] = append(byKey[key], o)
		}
		for _, part := range byKey {
			parts = append(parts, part)
		}
		return parts
	},
	Init: func() []any { return []any{""} },
	Step: func(state, input, output any) []any {
		value, in, out := state.(string), input.(operation), output.(result)
		switch {
		case !in.write && out.value == value:
			return []any{value}
		case !in.write:
			return nil
		case out.unknown && value == in.expect:
			return []any{value, in.become}
		case out.unknown, !out.done && value != in.expect:
			return []any{value}
		case out.done && value == in.expect:
			return []any{in.become}
		}
		return nil
	},
}

// A recorder runs clients and keeps what they did and when.
type recorder struct {
	began time.Time

	mu      sync.Mutex
	history []porcupine.Operation
	unknown int
}

func (r *recorder) record(client int, in operation, call time.Time, out result) {
	returned := time.Since(r.began).Nanoseconds()
	r.mu.Lock()
	defer r.mu.Unlock()
	if out.unknown {
		returned = 1 << 62 // it may take effect at any time
		r.unknown++
	}
	r.history = append(r.history, porcupine.Operation{
		ClientId: client, Input: in, Call: call.Sub(r.began).Nanoseconds(), Output: out, Return: returned,
	})
}

// client reads and then tries to replace what it read, until ctx ends. Reads
// are consistent if sync says so.
func (r *recorder) client(ctx context.Context, id int, s *storage.Store, c *storage.Collection, sync func() bool) error {
	random := rand.New(rand.NewPCG(uint64(id), 0))
	for n := 0; ctx.Err() == nil; n++ {
		key := fmt.Sprintf("%sa/%d", things, random.IntN(3))
		began := time.Now()
		if sync() {
			if _, err := s.Sync(context.WithoutCancel(ctx)); errors.Is(err, storage.ErrUnavailable) {
				continue
			} else if err != nil {
				return err
			}
		}
		o, _ := c.Get(key)
		read, revision := "", int64(0)
		if o != nil {
			read, revision = string(o.Body()), o.Revision
		}
		r.record(id, operation{key: key}, began, result{value: read})

		w := storage.Write{Key: key, Expect: revision}
		in := operation{key: key, write: true, expect: read}
		if read == "" || random.IntN(5) > 0 {
			in.become = fmt.Sprintf("v=%d-%d", id, n)
			w.Value = []byte(in.become)
		}
		began = time.Now()
		_, err := s.Write(context.WithoutCancel(ctx), w)
		var conflict *storage.ConflictError
		switch {
		case err == nil:
			r.record(id, in, began, result{done: true})
		case errors.As(err, &conflict):
			r.record(id, in, began, result{})
		case errors.Is(err, storage.ErrUnknownOutcome):
			r.record(id, in, began, result{unknown: true})
		case !errors.Is(err, storage.ErrUnavailable): // nothing was written
			return err
		}
	}
	return nil
}

// Clients of two servers see one order of everything, while the database's
// connections are killed and it crashes.
func TestLinearizable(t *testing.T) {
	t.Parallel()
	server := storagetest.StartPostgres(t, storagetest.PostgresOptions{})
	endpoint := server.Store()
	var stores []*storage.Store
	var collections []*storage.Collection
	for range 2 {
		s, c := storage.StartText(t, openPostgres(t, endpoint), func(o *storage.Options) { o.WriteTimeout = 5 * time.Second })
		stores, collections = append(stores, s), append(collections, c)
	}
	r := &recorder{began: time.Now()}
	ctx, cancel := context.WithCancel(t.Context())
	var clients sync.WaitGroup
	for id := range 6 {
		clients.Go(func() {
			if err := r.client(ctx, id, stores[id%2], collections[id%2], func() bool { return true }); err != nil {
				t.Error(err)
			}
		})
	}
	random := rand.New(rand.NewPCG(7, 7))
	killed := 0
	for round := range 30 {
		time.Sleep(time.Duration(random.IntN(150)) * time.Millisecond)
		if round == 15 {
			if err := server.Kill(); err != nil {
				t.Fatal(err)
			}
			if err := server.Start(); err != nil {
				t.Fatal(err)
			}
			continue
		}
		n, err := server.KillBackends(ctx)
		if err != nil {
			t.Fatal(err)
		}
		killed += n
	}
	cancel()
	clients.Wait()
	outcome, _ := porcupine.CheckOperationsVerbose(registers.ToModel(), r.history, time.Minute)
	t.Logf("%d operations, %d of unknown outcome, %d connections killed: %s", len(r.history), r.unknown, killed, outcome)
	if outcome != porcupine.Ok {
		t.Error("the history is not linearizable")
	}
	if len(r.history) < 100 {
		t.Errorf("only %d operations", len(r.history))
	}

	// Both servers tell the same story, every revision of it.
	stories := make([][]string, 2)
	now, err := stores[0].Sync(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range collections {
		w, err := c.Watch(t.Context(), storage.WatchOptions{})
		if err != nil {
			t.Fatal(err)
		}
		defer w.Stop()
		for int64(len(stories[i])) < now {
			deliveries, err := w.Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range deliveries {
				stories[i] = append(stories[i], fmt.Sprint(d.Type, " ", d.Object.Key, " ", d.Change.Revision))
			}
		}
	}
	if fmt.Sprint(stories[0]) != fmt.Sprint(stories[1]) {
		t.Error("the servers' watchers saw different histories")
	}
}

// deaf never hears of other servers' writes.
type deaf struct{ storage.Driver }

func (deaf) Listen(ctx context.Context, _ func()) { <-ctx.Done() }

// The check above can fail: reads that don't ask the database are stale, and it
// finds them.
func TestLinearizableNeedsSync(t *testing.T) {
	t.Parallel()
	endpoint := storagetest.Postgres(t)
	one, inOne := storage.StartText(t, openPostgres(t, endpoint))
	two, inTwo := storage.StartText(t, deaf{openPostgres(t, endpoint)})
	r := &recorder{began: time.Now()}
	key := things + "a/0"
	read := func(client int, c *storage.Collection) {
		began := time.Now()
		o, _ := c.Get(key)
		value := ""
		if o != nil {
			value = string(o.Body())
		}
		r.record(client, operation{key: key}, began, result{value: value})
	}
	began := time.Now()
	if _, err := one.Write(t.Context(), storage.Write{Key: key, Value: []byte("v=1")}); err != nil {
		t.Fatal(err)
	}
	r.record(1, operation{key: key, write: true, become: "v=1"}, began, result{done: true})
	read(1, inOne)
	read(2, inTwo)
	if outcome, _ := porcupine.CheckOperationsVerbose(registers.ToModel(), r.history, time.Minute); outcome != porcupine.Illegal {
		t.Fatalf("a stale read is %s", outcome)
	}
	r.history = r.history[:2]
	if _, err := two.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	read(2, inTwo)
	if outcome, _ := porcupine.CheckOperationsVerbose(registers.ToModel(), r.history, time.Minute); outcome != porcupine.Ok {
		t.Fatalf("a read after a sync is %s", outcome)
	}
}
