package e2e

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/client-go/tools/clientcmd"
)

// behindOneAddress passes TCP through to the servers that are ready, as a load
// balancer in front of them does, and returns a kubeconfig of its address.
func behindOneAddress(t *testing.T, servers []*server) (kubeconfig string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	backends := make([]*backend, len(servers))
	for i, s := range servers {
		backends[i] = &backend{address: net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port))}
		go backends[i].watch(t.Context())
	}
	go func() {
		var turn atomic.Int64
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			go passThrough(client, backends, int(turn.Add(1)))
		}
	}()
	config, err := clientcmd.LoadFromFile(servers[0].kubeconfig())
	if err != nil {
		t.Fatal(err)
	}
	for _, cluster := range config.Clusters {
		cluster.Server = "https://" + listener.Addr().String()
	}
	kubeconfig = filepath.Join(t.TempDir(), "balanced.kubeconfig")
	if err := clientcmd.WriteToFile(*config, kubeconfig); err != nil {
		t.Fatal(err)
	}
	return kubeconfig
}

// A backend is a server as its balancer sees it.
type backend struct {
	address string
	unready atomic.Bool
}

// watch asks for the server's readiness each second until ctx ends.
func (b *backend) watch(ctx context.Context) {
	client := &http.Client{Timeout: time.Second, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true, // a balancer has no credentials
	}}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		response, err := client.Get("https://" + b.address + "/readyz")
		if err == nil {
			response.Body.Close()
		}
		b.unready.Store(err != nil || response.StatusCode != http.StatusOK)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// passThrough connects a client with the first server, from turn on, that is
// ready and accepts connections.
func passThrough(client net.Conn, backends []*backend, turn int) {
	defer client.Close()
	for i := range backends {
		b := backends[(turn+i)%len(backends)]
		if b.unready.Load() {
			continue
		}
		server, err := net.DialTimeout("tcp", b.address, time.Second)
		if err != nil {
			continue
		}
		defer server.Close()
		var both sync.WaitGroup
		both.Go(func() {
			io.Copy(server, client)
			server.(*net.TCPConn).CloseWrite()
		})
		both.Go(func() {
			io.Copy(client, server)
			client.(*net.TCPConn).CloseWrite()
		})
		both.Wait()
		return
	}
}

// restartInTurn restarts one server after the other until the test ends.
func restartInTurn(t *testing.T, servers []*server, every time.Duration) {
	stop, stopped := make(chan struct{}), make(chan struct{})
	t.Cleanup(func() {
		close(stop)
		<-stopped
	})
	go func() {
		defer close(stopped)
		ticker := time.NewTicker(every)
		defer ticker.Stop()
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			case <-ticker.C:
				servers[i%len(servers)].restart()
			}
		}
	}()
}
