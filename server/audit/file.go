package audit

import (
	"io"
	"os"
	"path/filepath"
	"sync"

	"gopkg.in/natefinch/lumberjack.v2"
	auditapi "k8s.io/apiserver/pkg/apis/audit"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"
	"k8s.io/apiserver/pkg/audit"
	"k8s.io/apiserver/pkg/server/options"
	"k8s.io/apiserver/plugin/pkg/audit/buffered"
	"k8s.io/apiserver/plugin/pkg/audit/log"
	"k8s.io/apiserver/plugin/pkg/audit/truncate"
)

// newFile returns the backend that writes to the file of the options, with their
// mode and limits.
func newFile(o *options.AuditLogOptions) (audit.Backend, error) {
	out, err := open(o)
	if err != nil {
		return nil, err
	}
	var backend audit.Backend = &file{out: out}
	if o.Format == log.FormatLegacy {
		backend = log.NewBackend(out, o.Format, auditv1.SchemeGroupVersion)
	}
	switch o.BatchOptions.Mode {
	case options.ModeBlocking:
		backend = forgiving{backend}
	case options.ModeBatch:
		backend = buffered.NewBackend(backend, o.BatchOptions.BatchConfig)
	}
	if o.TruncateOptions.Enabled {
		backend = truncate.NewBackend(backend, o.TruncateOptions.TruncateConfig, auditv1.SchemeGroupVersion)
	}
	return backend, nil
}

// open makes the file, which is only for us to read, and rotates it if it is to be.
func open(o *options.AuditLogOptions) (io.Writer, error) {
	if o.Path == "-" {
		return os.Stdout, nil
	}
	if err := os.MkdirAll(filepath.Dir(o.Path), 0o700); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(o.Path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil || o.MaxSize == 0 {
		return f, err
	}
	return &lumberjack.Logger{Filename: o.Path, MaxAge: o.MaxAge, MaxBackups: o.MaxBackups, MaxSize: o.MaxSize, Compress: o.Compress}, f.Close()
}

// file writes events as JSON, one a line and one a write.
type file struct {
	out   io.Writer
	lines sync.Pool // of *[]byte
}

// ProcessEvents implements [audit.Sink].
func (f *file) ProcessEvents(events ...*auditapi.Event) bool {
	line, _ := f.lines.Get().(*[]byte)
	if line == nil {
		line = new([]byte)
	}
	defer f.lines.Put(line)
	written := true
	for _, e := range events {
		var err error
		if *line, err = appendLine((*line)[:0], e); err == nil {
			_, err = f.out.Write(*line)
		}
		if err != nil {
			audit.HandlePluginError(log.PluginName, err, e)
			written = false
		}
	}
	return written
}

// Run implements [audit.Backend].
func (*file) Run(<-chan struct{}) error { return nil }

// Shutdown implements [audit.Backend].
func (*file) Shutdown() {}

func (*file) String() string { return log.PluginName }

// forgiving lets requests pass whose events could not be written.
type forgiving struct{ audit.Backend }

// ProcessEvents implements [audit.Sink].
func (f forgiving) ProcessEvents(events ...*auditapi.Event) bool {
	f.Backend.ProcessEvents(events...)
	return true
}
