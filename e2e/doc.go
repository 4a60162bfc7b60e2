// Package e2e proves, with the clients people use, that Howdah is a Kubernetes
// API server: stock kubectl, run as a process from the scripts in testdata, and
// client-go. Servers are processes of the real binary on SQLite, on PostgreSQL,
// and two of them on one PostgreSQL.
//
// The scripts are those of github.com/rogpeppe/go-internal/testscript with
// these commands added:
//
//	kubectl ARGS...        run kubectl in the script's namespace, $NS; of several servers the next one is asked
//	background NAME ARGS...the same, until the script ends or interrupts it
//	seen NAME REGEXP       wait until the output of background NAME matches
//	interrupt NAME         interrupt background NAME and wait for its end; its output becomes stdout
//	eventually REGEXP ARGS...  kubectl ARGS until its output matches
//	restart                stop every server and start it again
package e2e
