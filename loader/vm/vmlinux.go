package vm

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
)

// unpackKernel writes the ELF kernel inside a bzImage to a file, for QEMU to
// start through its PVH entry point. The emulated CPU then need not unpack it,
// which is 0.4 s (lz4, until 6.1) to 1 s (zstd) of every boot.
func unpackKernel(vmlinuz, vmlinux string) error {
	image, err := os.ReadFile(vmlinuz)
	if err != nil {
		return err
	}
	payload, err := bzPayload(image)
	if err != nil {
		return err
	}
	tool, err := unpacker(payload)
	if err != nil {
		return err
	}
	cmd := exec.Command(tool, "-dc")
	cmd.Stdin = bytes.NewReader(payload)
	elf, err := cmd.Output()
	// The unpacked size follows the payload as four bytes that the tools call
	// garbage, after they have written everything: the size decides, not the status.
	if want := binary.LittleEndian.Uint32(payload[len(payload)-4:]); uint32(len(elf)) != want {
		return fmt.Errorf("unpack kernel with %s: %d of %d bytes: %w", tool, len(elf), want, errors.Join(err))
	}
	if !bytes.HasPrefix(elf, []byte("\x7fELF")) {
		return errors.New("unpack kernel: not an ELF file")
	}
	return os.WriteFile(vmlinux, elf, 0o644)
}

// bzPayload is the compressed kernel in a bzImage, found by its setup header
// (Documentation/arch/x86/boot.rst, protocol 2.08 or later).
func bzPayload(image []byte) ([]byte, error) {
	const magic, setupSectors, offset, length, end = 0x202, 0x1f1, 0x248, 0x24c, 0x250
	if len(image) < end || string(image[magic:magic+4]) != "HdrS" {
		return nil, errors.New("not a bzImage")
	}
	sectors := uint64(image[setupSectors])
	if sectors == 0 {
		sectors = 4 // what zero has meant since the first boot protocol
	}
	start := (sectors+1)*512 + uint64(binary.LittleEndian.Uint32(image[offset:]))
	stop := start + uint64(binary.LittleEndian.Uint32(image[length:]))
	if stop > uint64(len(image)) || stop-start < 8 {
		return nil, errors.New("bzImage: payload outside the file")
	}
	return image[start:stop], nil
}

// unpacker is the host's tool for a payload's compression: Debian used lz4
// until 6.1 and uses zstd since.
func unpacker(payload []byte) (string, error) {
	for magic, tool := range map[string]string{
		"\x28\xb5\x2f\xfd": "zstd",
		"\x02\x21\x4c\x18": "lz4",
	} {
		if bytes.HasPrefix(payload, []byte(magic)) {
			return exec.LookPath(tool)
		}
	}
	return "", fmt.Errorf("kernel compression unknown: % x", payload[:4])
}
