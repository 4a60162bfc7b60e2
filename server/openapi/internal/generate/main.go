// Command generate makes the OpenAPI documents that package openapi embeds
// from those that Kubernetes publishes with its source. It runs in the
// directory of package openapi:
//
//	go generate ./server/openapi
package main

import (
	"bytes"
	"compress/gzip"
	"crypto/sha512"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"k8s.io/kube-openapi/pkg/handler"
	"k8s.io/kube-openapi/pkg/handler3"

	"github.com/howdah/howdah/server/version"
)

func main() {
	log.SetFlags(0)
	if err := generate("documents"); err != nil {
		log.Fatal(err)
	}
}

func generate(out string) error {
	module, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "k8s.io/kubernetes").Output()
	if err != nil {
		return fmt.Errorf("find the source of Kubernetes: %w", err)
	}
	published := filepath.Join(strings.TrimSpace(string(module)), "api", "openapi-spec")
	if err := os.RemoveAll(out); err != nil {
		return err
	}
	if err := os.Mkdir(out, 0o755); err != nil {
		return err
	}
	etags := map[string]string{}

	swagger, err := read(filepath.Join(published, "swagger.json"))
	if err != nil {
		return err
	}
	prune(swagger)
	if etags["v2"], err = write(filepath.Join(out, "v2"), swagger, handler.ToProtoBinary); err != nil {
		return err
	}

	files, err := filepath.Glob(filepath.Join(published, "v3", "*_openapi.json"))
	if err != nil {
		return err
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), "_openapi.json")
		if name == "logs" || strings.HasPrefix(name, ".well-known") || strings.HasPrefix(name, "openid") {
			continue // not served
		}
		document, err := read(file)
		if err != nil {
			return err
		}
		path := strings.ReplaceAll(name, "__", "/")
		if etags[path], err = write(filepath.Join(out, name), document, handler3.ToV3ProtoBinary); err != nil {
			return err
		}
	}
	index, err := json.MarshalIndent(etags, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(out, "index.json"), append(index, '\n'), 0o644)
}

func read(file string) (map[string]any, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	var document map[string]any
	if err := decoder.Decode(&document); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	// Published without it, so that the files do not change with each release.
	document["info"].(map[string]any)["version"] = version.Info().GitVersion
	return document, nil
}

// write writes both forms of a document, compressed, and returns its ETag.
func write(name string, document map[string]any, toProtobuf func([]byte) ([]byte, error)) (string, error) {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(document); err != nil {
		return "", err
	}
	plain := bytes.TrimSuffix(text.Bytes(), []byte("\n"))
	binary, err := toProtobuf(plain)
	if err != nil {
		return "", fmt.Errorf("%s as protobuf: %w", name, err)
	}
	if err := compress(name+".json.gz", plain); err != nil {
		return "", err
	}
	if err := compress(name+".pb.gz", binary); err != nil {
		return "", err
	}
	return fmt.Sprintf("%X", sha512.Sum512(plain)), nil
}

func compress(file string, data []byte) error {
	var out bytes.Buffer
	w, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
	if err != nil {
		return err
	}
	if _, err := w.Write(data); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	return os.WriteFile(file, out.Bytes(), 0o644)
}
