package sqlite_test

import (
	"testing"

	"github.com/howdah/howdah/storage/storagetest"
)

func BenchmarkDriver(b *testing.B) { storagetest.Benchmark(b, fresh) }
