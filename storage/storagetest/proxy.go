package storagetest

import (
	"io"
	"net"
	"net/url"
	"sync"
	"testing"
)

// Proxy stands between a driver and its server and can fail on demand.
type Proxy struct {
	listener net.Listener
	target   string

	mutex  sync.Mutex
	conns  map[net.Conn]bool
	mute   bool
	served sync.WaitGroup
}

// StartProxy starts a proxy in front of the server of an endpoint URL and
// returns the endpoint that leads through it.
func StartProxy(t testing.TB, endpoint string) (*Proxy, string) {
	t.Helper()
	location, err := url.Parse(endpoint)
	must(t, err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	p := &Proxy{listener: listener, target: location.Host, conns: map[net.Conn]bool{}}
	location.Host = listener.Addr().String()
	p.served.Go(p.serve)
	t.Cleanup(func() {
		p.listener.Close()
		p.Cut()
		p.served.Wait()
	})
	return p, location.String()
}

// LoseReplies makes the proxy deliver what clients say, but cut a connection
// instead of delivering the answer.
func (p *Proxy) LoseReplies() { p.setMute(true) }

// Heal ends LoseReplies.
func (p *Proxy) Heal() { p.setMute(false) }

func (p *Proxy) setMute(mute bool) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	p.mute = mute
}

// Cut closes all connections.
func (p *Proxy) Cut() {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	for conn := range p.conns {
		conn.Close()
	}
}

func (p *Proxy) serve() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", p.target)
		if err != nil {
			client.Close()
			continue
		}
		p.mutex.Lock()
		p.conns[client], p.conns[server] = true, true
		p.mutex.Unlock()
		closeBoth := func() {
			client.Close()
			server.Close()
			p.mutex.Lock()
			delete(p.conns, client)
			delete(p.conns, server)
			p.mutex.Unlock()
		}
		p.served.Go(func() { defer closeBoth(); _, _ = io.Copy(server, client) })
		p.served.Go(func() { defer closeBoth(); p.reply(client, server) })
	}
}

func (p *Proxy) reply(client io.Writer, server io.Reader) {
	buffer := make([]byte, 64<<10)
	for {
		n, err := server.Read(buffer)
		p.mutex.Lock()
		mute := p.mute
		p.mutex.Unlock()
		if err != nil || mute {
			return
		}
		if _, err := client.Write(buffer[:n]); err != nil {
			return
		}
	}
}
