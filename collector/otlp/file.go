package otlp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"go.opentelemetry.io/collector/pdata/ptrace"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// fileClient writes each export as one line of OTLP/JSON, as the OpenTelemetry
// Collector's file exporter does and its otlpjsonfile receiver reads:
// {"resourceSpans":[…]}. It implements otlptrace.Client.
//
// The detour through pdata is for its JSON: protobuf's own is not OTLP's, which
// wants ids in hexadecimal.
//
// Nothing in it is locked: a batch processor exports one batch after another.
type fileClient struct {
	path string
	file *os.File
}

var errFileClosed = errors.New("the span file is closed")

// Start opens the file, to append: a second run must not destroy the first one's.
func (c *fileClient) Start(context.Context) (err error) {
	c.file, err = os.OpenFile(c.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return fmt.Errorf("open span file: %w", err)
	}
	return nil
}

// Stop closes the file.
func (c *fileClient) Stop(context.Context) error {
	if c.file == nil {
		return nil
	}
	err := c.file.Close()
	c.file = nil
	return err
}

// UploadTraces writes one line.
func (c *fileClient) UploadTraces(_ context.Context, spans []*tracepb.ResourceSpans) error {
	if c.file == nil {
		return errFileClosed
	}
	line, err := marshalLine(spans)
	if err != nil {
		return fmt.Errorf("encode spans as JSON: %w", err)
	}
	return c.write(line)
}

// write writes a line wholly or, on a full disk, not at all: the rest of a torn
// line would spoil the next one too.
func (c *fileClient) write(line []byte) error {
	n, err := c.file.Write(line)
	if err == nil {
		return nil
	}
	if end, seekErr := c.file.Seek(0, io.SeekEnd); n > 0 && seekErr == nil {
		err = errors.Join(err, c.file.Truncate(end-int64(n)))
	}
	return fmt.Errorf("write span file: %w", err)
}

func marshalLine(spans []*tracepb.ResourceSpans) ([]byte, error) {
	wire, err := proto.Marshal(&tracepb.TracesData{ResourceSpans: spans})
	if err != nil {
		return nil, err
	}
	traces, err := new(ptrace.ProtoUnmarshaler).UnmarshalTraces(wire)
	if err != nil {
		return nil, err
	}
	line, err := new(ptrace.JSONMarshaler).MarshalTraces(traces)
	if err != nil {
		return nil, err
	}
	return append(line, '\n'), nil
}
