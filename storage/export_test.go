package storage

import (
	"math/rand/v2"
	"testing"
)

// CheckOracle is the oracle's test for stores on other drivers.
func CheckOracle(t *testing.T, drivers ...Driver) {
	var stores []*Store
	var collections []*Collection
	for _, d := range drivers {
		s, c := started(t, d, func(o *Options) { o.RecentBytes = 50_000 })
		stores, collections = append(stores, s), append(collections, c)
	}
	checkOracle(t, rand.New(rand.NewPCG(3, 4)), stores, collections)
}

// StartText returns a running store of text objects.
func StartText(t testing.TB, d Driver, change ...func(*Options)) (*Store, *Collection) {
	return started(t, d, change...)
}
