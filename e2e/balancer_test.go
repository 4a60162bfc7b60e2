package e2e

import (
	"io"
	"net"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/client-go/tools/clientcmd"
)

// behindOneAddress passes TCP through to the servers, as a load balancer in
// front of them does, and returns a kubeconfig of its address.
func behindOneAddress(t *testing.T, servers []*server) (kubeconfig string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	var addresses []string
	for _, s := range servers {
		addresses = append(addresses, net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)))
	}
	go func() {
		var turn atomic.Int64
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			go passThrough(client, addresses, int(turn.Add(1)))
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

// passThrough connects a client with the first server, from turn on, that
// accepts connections.
func passThrough(client net.Conn, addresses []string, turn int) {
	defer client.Close()
	for i := range addresses {
		server, err := net.DialTimeout("tcp", addresses[(turn+i)%len(addresses)], time.Second)
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
