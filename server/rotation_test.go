package server

import (
	"crypto/x509"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/howdah/howdah/auth/pki/pkitest"
	"github.com/howdah/howdah/storage/storagetest"
)

// TestRotateAuthorities: the steps of docs/security.md for another authority of the
// cluster. At each, those with old and those with new certificates get in, until the
// old ones are no longer accepted; the front proxies' authority is made anew.
func TestRotateAuthorities(t *testing.T) {
	t.Parallel()
	for name, database := range map[string]string{"sqlite": "", "postgres": storagetest.Postgres(t)} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			file := func(name string) string { return filepath.Join(dir, "pki", name) }
			keep := func(name string, content []byte) {
				if err := os.WriteFile(file(name), content, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			read := func(name string) string {
				content, err := os.ReadFile(file(name))
				if err != nil {
					t.Fatal(err)
				}
				return string(content)
			}
			s := start(t, Options{DataDir: dir, DatastoreEndpoint: database})
			stop(t, s)
			old, young := pkitest.Load(t, filepath.Join(dir, "pki")), pkitest.New(t, "young", 0)
			eve := clientBy(t, old, pkitest.Subject("eve", x509.ExtKeyUsageClientAuth))
			ada := clientBy(t, young, pkitest.Subject("ada", x509.ExtKeyUsageClientAuth))
			who := func(when string, s *Server, eves, adas string) {
				t.Helper()
				for _, c := range []struct {
					client *http.Client
					want   string
				}{{eve, eves}, {ada, adas}} {
					if got := askRaw(t, c.client, s, http.Header{}); got != c.want {
						t.Errorf("%s: got %q, want %q", when, got, c.want)
					}
				}
				if _, err := admin(t, s).Discovery().ServerVersion(); err != nil {
					t.Errorf("%s: the administrator's kubeconfig: %v", when, err)
				}
				stop(t, s)
			}
			const isEve, isAda = "eve  system:authenticated", "ada  system:authenticated"

			keep("new-ca.crt", young.PEM())
			who("with the new one accepted", start(t, Options{DataDir: dir, DatastoreEndpoint: database, ClientCAFile: file("new-ca.crt")}), isEve, isAda)

			keep("old-ca.crt", old.PEM())
			young.Keep(t, filepath.Join(dir, "pki"))
			proxies := read("front-proxy-ca.crt")
			for _, name := range []string{"front-proxy-ca.crt", "front-proxy-ca.key"} {
				if err := os.Remove(file(name)); err != nil {
					t.Fatal(err)
				}
			}
			if database != "" {
				conn, err := pgx.Connect(t.Context(), database)
				if err != nil {
					t.Fatal(err)
				}
				gone, err := conn.Exec(t.Context(), `delete from kv where key in ('/howdah/ca.pem', '/howdah/front-proxy-ca.pem')`)
				if err != nil || gone.RowsAffected() != 2 {
					t.Fatal(gone, err)
				}
				if err := conn.Close(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			who("with the old one accepted", start(t, Options{DataDir: dir, DatastoreEndpoint: database, ClientCAFile: file("old-ca.crt")}), isEve, isAda)
			if read("front-proxy-ca.crt") == proxies {
				t.Error("the front proxies' authority is the old one")
			}
			if database != "" { // another server takes the new ones over
				other := t.TempDir()
				who("at another server", start(t, Options{DataDir: other, DatastoreEndpoint: database, ClientCAFile: file("old-ca.crt")}), isEve, isAda)
				if got := pkitest.Load(t, filepath.Join(other, "pki")); !got.Certificate.Equal(young.Certificate) {
					t.Error("another server has another authority")
				}
			}
			who("without the old one", start(t, Options{DataDir: dir, DatastoreEndpoint: database}), "401", isAda)
		})
	}
}
