package main

import (
	"fmt"
	"io"
	"log/slog"

	"github.com/spf13/pflag"
	"k8s.io/klog/v2"
)

// logFlags say what is logged and how.
type logFlags struct {
	level  string
	format string
}

func (f *logFlags) add(flags *pflag.FlagSet) {
	flags.StringVar(&f.level, "log-level", "info", "least level that is logged: debug, info, warn or error")
	flags.StringVar(&f.format, "logging-format", "text", "format of the log: text or json")
}

// logger logs to out. Kubernetes libraries log through it too, but only from
// warnings up, or with --log-level=debug from info up: what they say at info
// tells of their insides.
func (f *logFlags) logger(out io.Writer) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(f.level)); err != nil {
		return nil, fmt.Errorf("--log-level is %q, not debug, info, warn or error", f.level)
	}
	libraries := max(level, slog.LevelWarn)
	if level < slog.LevelInfo {
		libraries = slog.LevelInfo
	}
	switch f.format {
	case "text", "json":
	default:
		return nil, fmt.Errorf("--logging-format is %q, not text or json", f.format)
	}
	handler := func(level slog.Level) slog.Handler {
		options := &slog.HandlerOptions{Level: level}
		if f.format == "json" {
			return slog.NewJSONHandler(out, options)
		}
		return slog.NewTextHandler(out, options)
	}
	klog.SetSlogLogger(slog.New(handler(libraries)))
	return slog.New(handler(level)), nil
}
