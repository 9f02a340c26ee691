// Verifylog checks a log that somebody has published in files, with Go's own implementation of signed notes and tiled
// logs (golang.org/x/mod/sumdb), which shares no code with the one that wrote the files.
//
// Usage: verifylog [-witness VKEY] LOG VKEY [CHECKPOINT...]
//
// LOG is the directory with the file "checkpoint" in it, VKEY the log's key, and each CHECKPOINT a file with an earlier
// checkpoint. All must be signed by the log, and the public one by the witness if one is named. Every checkpoint's tree
// is computed from the tiles of its own size, must have the root that was signed, and must be the beginning of the
// public one. Every entry must be included in the public tree. The first thing that is wrong ends the program with
// status 1.
package main

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const (
	tileHeight     = 8
	tileWidth      = 1 << tileHeight
	cosignatureAlg = 4
)

func main() {
	witness := flag.String("witness", "", "vkey of a witness that must have cosigned the public checkpoint")
	flag.Parse()
	if flag.NArg() < 2 {
		fmt.Fprintln(os.Stderr, "usage: verifylog [-witness VKEY] LOG VKEY [CHECKPOINT...]")
		os.Exit(2)
	}
	if err := verify(flag.Arg(0), flag.Arg(1), *witness, flag.Args()[2:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func verify(directory, vkey, witnessKey string, earlier []string) error {
	logVerifier, err := note.NewVerifier(vkey)
	if err != nil {
		return fmt.Errorf("log key: %w", err)
	}
	public, err := openCheckpoint(filepath.Join(directory, "checkpoint"), logVerifier)
	if err != nil {
		return err
	}
	if witnessKey != "" {
		witness, err := newCosigner(witnessKey)
		if err != nil {
			return fmt.Errorf("witness key: %w", err)
		}
		if _, err := openCheckpoint(filepath.Join(directory, "checkpoint"), logVerifier, witness); err != nil {
			return err
		}
		fmt.Printf("cosigned by %s\n", witness.Name())
	}
	files := tileFiles{directory}
	if err := checkTree(public, files); err != nil {
		return err
	}
	for _, path := range earlier {
		old, err := openCheckpoint(path, logVerifier)
		if err != nil {
			return err
		}
		if err := checkTree(old, files); err != nil {
			return err
		}
		if err := checkConsistency(old, public, files); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	return checkRecords(public, files)
}

// openCheckpoint reads a signed checkpoint and insists on a good signature by each of the verifiers, the first of which
// is the log's.
func openCheckpoint(path string, verifiers ...note.Verifier) (tlog.Tree, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return tlog.Tree{}, err
	}
	opened, err := note.Open(data, note.VerifierList(verifiers...))
	if err != nil {
		return tlog.Tree{}, fmt.Errorf("%s: %w", path, err)
	}
	for _, wanted := range verifiers {
		if !signedBy(opened, wanted) {
			return tlog.Tree{}, fmt.Errorf("%s: not signed by %s", path, wanted.Name())
		}
	}
	lines := strings.Split(opened.Text, "\n")
	if len(lines) != 4 || lines[0] != verifiers[0].Name() {
		return tlog.Tree{}, fmt.Errorf("%s: not a checkpoint of %s without extensions", path, verifiers[0].Name())
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil {
		return tlog.Tree{}, fmt.Errorf("%s: %w", path, err)
	}
	root, err := tlog.ParseHash(lines[2])
	if err != nil {
		return tlog.Tree{}, fmt.Errorf("%s: %w", path, err)
	}
	return tlog.Tree{N: size, Hash: root}, nil
}

func signedBy(opened *note.Note, wanted note.Verifier) bool {
	for _, signature := range opened.Sigs {
		if signature.Name == wanted.Name() && signature.Hash == wanted.KeyHash() {
			return true
		}
	}
	return false
}

// checkTree computes the root of a tree from its tiles, partial ones of exactly its size included.
func checkTree(tree tlog.Tree, files tileFiles) error {
	root, err := tlog.TreeHash(tree.N, tlog.TileHashReader(tree, files))
	if err != nil {
		return fmt.Errorf("tree of %d: %w", tree.N, err)
	}
	if root != tree.Hash {
		return fmt.Errorf("tree of %d: its tiles have the root %v, the checkpoint says %v", tree.N, root, tree.Hash)
	}
	fmt.Printf("tree %d %v\n", tree.N, root)
	return nil
}

func checkConsistency(old, public tlog.Tree, files tileFiles) error {
	proof, err := tlog.ProveTree(public.N, old.N, tlog.TileHashReader(public, files))
	if err != nil {
		return err
	}
	if err := tlog.CheckTree(proof, public.N, public.Hash, old.N, old.Hash); err != nil {
		return fmt.Errorf("tree of %d is not the beginning of that of %d: %w", old.N, public.N, err)
	}
	fmt.Printf("consistent %d %d\n", old.N, public.N)
	return nil
}

// checkRecords proves every entry of the bundles to be in the tree, at its place.
func checkRecords(tree tlog.Tree, files tileFiles) error {
	reader := tlog.TileHashReader(tree, files)
	for start := int64(0); start < tree.N; start += tileWidth {
		bundle := tlog.Tile{H: tileHeight, L: -1, N: start / tileWidth, W: tileWidth}
		if tree.N-start < tileWidth {
			bundle.W = int(tree.N - start)
		}
		data, err := files.read(bundle)
		if err != nil {
			return err
		}
		entries, err := splitBundle(data, bundle.W)
		if err != nil {
			return fmt.Errorf("%s: %w", tilePath(bundle), err)
		}
		for number, entry := range entries {
			index := start + int64(number)
			proof, err := tlog.ProveRecord(tree.N, index, reader)
			if err != nil {
				return err
			}
			if err := tlog.CheckRecord(proof, tree.N, tree.Hash, index, tlog.RecordHash(entry)); err != nil {
				return fmt.Errorf("entry %d is not in the tree: %w", index, err)
			}
		}
	}
	fmt.Printf("included %d\n", tree.N)
	return nil
}

// splitBundle takes an entry bundle apart: a 16-bit big-endian length before each entry.
func splitBundle(data []byte, count int) ([][]byte, error) {
	var entries [][]byte
	for len(data) > 0 {
		if len(data) < 2 || len(data)-2 < int(binary.BigEndian.Uint16(data)) {
			return nil, errors.New("the bundle ends within an entry")
		}
		end := 2 + int(binary.BigEndian.Uint16(data))
		entries = append(entries, data[2:end])
		data = data[end:]
	}
	if len(entries) != count {
		return nil, fmt.Errorf("the bundle holds %d entries, not %d", len(entries), count)
	}
	return entries, nil
}

// tileFiles reads tiles from files laid out as C2SP tlog-tiles has it. It is a tlog.TileReader.
type tileFiles struct{ directory string }

func (f tileFiles) Height() int { return tileHeight }

func (f tileFiles) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	contents := make([][]byte, len(tiles))
	for i, tile := range tiles {
		data, err := f.read(tile)
		if err != nil {
			return nil, err
		}
		contents[i] = data
	}
	return contents, nil
}

// SaveTiles does nothing: the files are there already.
func (f tileFiles) SaveTiles([]tlog.Tile, [][]byte) {}

func (f tileFiles) read(tile tlog.Tile) ([]byte, error) {
	return os.ReadFile(filepath.Join(f.directory, filepath.FromSlash(tilePath(tile))))
}

// tilePath returns a tile's path in C2SP tlog-tiles: that of the Go checksum database without the height, and with
// another word for the entries.
func tilePath(tile tlog.Tile) string {
	path := strings.TrimPrefix(tile.Path(), fmt.Sprintf("tile/%d/", tileHeight))
	return "tile/" + strings.Replace(path, "data/", "entries/", 1)
}

// cosigner verifies the cosignatures of one witness (C2SP tlog-cosignature), which sumdb/note does not know: the
// signature covers a time as well, which precedes it in the signature line. It is a note.Verifier.
type cosigner struct {
	name string
	hash uint32
	key  ed25519.PublicKey
}

func newCosigner(vkey string) (*cosigner, error) {
	parts := strings.SplitN(vkey, "+", 3)
	if len(parts) != 3 {
		return nil, errors.New("not a vkey")
	}
	hash, err := strconv.ParseUint(parts[1], 16, 32)
	if err != nil {
		return nil, err
	}
	material, err := base64.StdEncoding.DecodeString(parts[2])
	if err != nil {
		return nil, err
	}
	if len(material) != 1+ed25519.PublicKeySize || material[0] != cosignatureAlg {
		return nil, errors.New("not the key of a witness")
	}
	return &cosigner{parts[0], uint32(hash), ed25519.PublicKey(material[1:])}, nil
}

func (c *cosigner) Name() string { return c.name }

func (c *cosigner) KeyHash() uint32 { return c.hash }

func (c *cosigner) Verify(message, signature []byte) bool {
	if len(signature) != 8+ed25519.SignatureSize {
		return false
	}
	header := fmt.Sprintf("cosignature/v1\ntime %d\n", binary.BigEndian.Uint64(signature))
	return ed25519.Verify(c.key, append([]byte(header), message...), signature[8:])
}
