package postgres_test

import (
	"testing"

	"github.com/howdah/howdah/storage"
	"github.com/howdah/howdah/storage/storagetest"
)

// BenchmarkDriver runs on a server that syncs its commits to disk.
func BenchmarkDriver(b *testing.B) {
	server := storagetest.StartPostgres(b, storagetest.PostgresOptions{Durable: true})
	storagetest.Benchmark(b, func(t testing.TB) func() storage.Driver {
		endpoint := server.Store()
		return func() storage.Driver { return open(t, endpoint) }
	})
}
