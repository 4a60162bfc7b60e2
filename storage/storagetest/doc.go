// Package storagetest owns the suite that every driver of the store passes, its
// benchmarks, and throwaway PostgreSQL servers for the tests of any package.
package storagetest
