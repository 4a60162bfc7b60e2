package tokenfile

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestTokens(t *testing.T) {
	name := filepath.Join(t.TempDir(), "tokens.csv")
	content := "secret-1,ada,1\nsecret-2,bob,2,\"engineers,ops\"\n,nobody,3\nsecret-1,eve,4,x,more\n"
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	tokens, err := Load(name, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	for token, want := range map[string]string{"secret-1": "eve", "secret-2": "bob", "": "", "secret": "", "secret-1 ": ""} {
		response, ok, err := tokens.AuthenticateToken(t.Context(), token)
		if err != nil || ok != (want != "") || ok && response.User.GetName() != want {
			t.Errorf("%q: %v %v %v", token, response, ok, err)
		}
		if want == "bob" && !slices.Equal(response.User.GetGroups(), []string{"engineers", "ops"}) {
			t.Errorf("groups %v", response.User.GetGroups())
		}
	}
	if strings.Count(log.String(), "level=WARN") != 2 || strings.Contains(log.String(), "secret") {
		t.Errorf("logged %s", &log)
	}
}

func TestBadFiles(t *testing.T) {
	for content, want := range map[string]string{
		"secret-1,ada\n":        "line 1 must have at least 3 columns (token, user name, user uid), found 2",
		"a,b,c\nsecret\"1,a,b":  "line 2",
		"a,b,c\n\n\nsecret-1,b": "line 4 must have",
	} {
		_, err := read(strings.NewReader(content), slog.New(slog.DiscardHandler))
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: got %v, want %s", content, err, want)
		}
	}
	if _, err := Load(filepath.Join(t.TempDir(), "none"), slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "--token-auth-file") {
		t.Error(err)
	}
}
