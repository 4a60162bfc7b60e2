package storage_test

import (
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/howdah/howdah/storage"
	"github.com/howdah/howdah/storage/storagetest"
)

// Creates of 3 KB objects by many clients, on disks that are synchronized.
func BenchmarkWrite(b *testing.B) {
	for _, engine := range []string{"postgres", "sqlite"} {
		for _, clients := range []int{1, 64} {
			b.Run(fmt.Sprintf("%s/%d", engine, clients), func(b *testing.B) {
				var d storage.Driver
				if engine == "postgres" {
					d = openPostgres(b, storagetest.StartPostgres(b, storagetest.PostgresOptions{Durable: true}).Store())
				} else {
					d = openSQLite(b)
				}
				s, _ := storage.StartText(b, d)
				value := append([]byte("app=web "), make([]byte, 3000)...)
				var next atomic.Int64
				b.SetParallelism(max(1, clients/2))
				b.ResetTimer()
				if clients == 1 {
					for b.Loop() {
						write(b, s, next.Add(1), value)
					}
					return
				}
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						write(b, s, next.Add(1), value)
					}
				})
			})
		}
	}
}

func write(b *testing.B, s *storage.Store, i int64, value []byte) {
	if _, err := s.Write(b.Context(), storage.Write{Key: fmt.Sprint(things, "a/", i), Value: value}); err != nil {
		b.Error(err)
	}
}
