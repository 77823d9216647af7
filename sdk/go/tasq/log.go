package tasq

import (
	"context"
	"log/slog"
)

func init() { slog.SetDefault(slog.New(logger{})) }

// logger is a slog.Handler that writes to the host's log.
type logger struct {
	group string
	attrs []slog.Attr
}

func level(l slog.Level) uint32 {
	switch {
	case l < slog.LevelDebug:
		return 0
	case l < slog.LevelInfo:
		return 1
	case l < slog.LevelWarn:
		return 2
	case l < slog.LevelError:
		return 3
	}
	return 4
}

func (logger) Enabled(_ context.Context, l slog.Level) bool { return hostLogEnabled(level(l)) }

func (l logger) Handle(_ context.Context, r slog.Record) error {
	fields := map[string]string{}
	for _, a := range l.attrs {
		add(fields, "", a)
	}
	r.Attrs(func(a slog.Attr) bool {
		add(fields, l.group, a)
		return true
	})
	writeLog(level(r.Level), r.Message, fields)
	return nil
}

func (l logger) WithAttrs(attrs []slog.Attr) slog.Handler {
	all := append([]slog.Attr{}, l.attrs...)
	for _, a := range attrs {
		a.Key = l.group + a.Key
		all = append(all, a)
	}
	return logger{l.group, all}
}

func (l logger) WithGroup(name string) slog.Handler { return logger{l.group + name + ".", l.attrs} }

func add(fields map[string]string, prefix string, a slog.Attr) {
	value := a.Value.Resolve()
	if value.Kind() != slog.KindGroup {
		fields[prefix+a.Key] = value.String()
		return
	}
	if a.Key != "" {
		prefix += a.Key + "."
	}
	for _, inner := range value.Group() {
		add(fields, prefix, inner)
	}
}
