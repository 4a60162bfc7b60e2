// Package kmstest is a KMS v2 plugin for tests: a real gRPC service on a unix
// socket, with keys in memory.
package kmstest

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"google.golang.org/grpc"
	kmsapi "k8s.io/kms/apis/v2"
	"k8s.io/kms/pkg/service"
)

// A Plugin wraps the seeds of an API server with the newest of its keys.
type Plugin struct {
	Endpoint string // unix:///...

	path string

	mu       sync.Mutex
	server   *grpc.Server
	keys     map[string]cipher.AEAD
	current  string
	decrypts int
	hangs    bool
}

// Start runs a plugin until the test ends.
func Start(t testing.TB) *Plugin {
	t.Helper()
	dir, err := os.MkdirTemp("", "kms") // paths of sockets must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	p := &Plugin{path: filepath.Join(dir, "s"), keys: map[string]cipher.AEAD{}}
	p.Endpoint = "unix://" + p.path
	p.Rotate(t)
	p.Resume(t)
	t.Cleanup(p.Pause)
	return p
}

// Rotate makes a new key, that wraps from now on.
func (p *Plugin) Rotate(t testing.TB) {
	t.Helper()
	key := make([]byte, 32)
	if _, err := rand.Read(key); err != nil {
		t.Fatal(err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	sealer, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		t.Fatal(err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.current = fmt.Sprintf("key-%d", len(p.keys)+1)
	p.keys[p.current] = sealer
}

// Call has the service give its newest key another name, until it has a newer one.
func (p *Plugin) Call(name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.keys[name] = p.keys[p.current]
	p.current = name
}

// Pause stops the service; its keys stay.
func (p *Plugin) Pause() {
	p.mu.Lock()
	server := p.server
	p.server = nil
	p.mu.Unlock()
	if server != nil {
		server.Stop()
	}
}

// Resume starts it again.
func (p *Plugin) Resume(t testing.TB) {
	t.Helper()
	listener, err := net.Listen("unix", p.path)
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	kmsapi.RegisterKeyManagementServiceServer(server, service.NewGRPCService("", 0, p))
	p.mu.Lock()
	p.server = server
	p.mu.Unlock()
	go server.Serve(listener) // ends with an error by Pause only
}

// Hang makes the service take calls and not answer them, until it is made to
// stop that.
func (p *Plugin) Hang(hangs bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.hangs = hangs
}

// answers returns when a call may be answered; an error if its caller left.
func (p *Plugin) answers(ctx context.Context) error {
	p.mu.Lock()
	hangs := p.hangs
	p.mu.Unlock()
	if hangs {
		<-ctx.Done()
	}
	return ctx.Err()
}

// Decrypts is how often the plugin was asked to unwrap.
func (p *Plugin) Decrypts() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.decrypts
}

// Encrypt implements [service.Service], as do the following.
func (p *Plugin) Encrypt(ctx context.Context, _ string, data []byte) (*service.EncryptResponse, error) {
	if err := p.answers(ctx); err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return &service.EncryptResponse{Ciphertext: p.keys[p.current].Seal(nil, nil, data, nil), KeyID: p.current}, nil
}

func (p *Plugin) Decrypt(ctx context.Context, _ string, r *service.DecryptRequest) ([]byte, error) {
	if err := p.answers(ctx); err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.decrypts++
	key, ok := p.keys[r.KeyID]
	if !ok {
		return nil, errors.New("unknown key")
	}
	return key.Open(nil, nil, r.Ciphertext, nil)
}

func (p *Plugin) Status(ctx context.Context) (*service.StatusResponse, error) {
	if err := p.answers(ctx); err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return &service.StatusResponse{Version: "v2", Healthz: "ok", KeyID: p.current}, nil
}
