package storage

import "testing"

func TestPrefixEnd(t *testing.T) {
	for prefix, want := range map[string]string{"": "", "a": "b", "/a/": "/a0", "a\xff": "b", "\xff\xff": "", "a\xfe": "a\xff"} {
		if got := prefixEnd(prefix); got != want {
			t.Errorf("prefixEnd(%q) = %q, want %q", prefix, got, want)
		}
	}
}

func TestPrefixTable(t *testing.T) {
	table := &prefixTable{}
	for _, prefix := range []string{"/r/services/specs/", "/r/pods/", "/r/services/", "/r/a/", "/r/services/endpoints/", "/r/a/b/c/"} {
		table = table.with(&Collection{prefix: prefix})
	}
	for key, want := range map[string]string{
		"/r/pods/ns/x": "/r/pods/", "/r/services/x": "/r/services/", "/r/services/zzz/x": "/r/services/",
		"/r/services/specs/ns/x": "/r/services/specs/", "/r/services/endpoints/ns/x": "/r/services/endpoints/",
		"/r/services/f": "/r/services/", "/r/podsx/y": "", "/q": "", "/z": "", "/r/a/b/d": "/r/a/", "/r/a/b/c/d": "/r/a/b/c/",
	} {
		got := ""
		if c := table.find(key); c != nil {
			got = c.prefix
		}
		if got != want {
			t.Errorf("find(%q) = %q, want %q", key, got, want)
		}
	}
	if table.exact("/r/pods/") == nil || table.exact("/r/") != nil {
		t.Error("exact is wrong")
	}
}
