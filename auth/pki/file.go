package pki

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// writeOnce makes a file if there is none and returns what the file holds: of
// concurrent callers one wins. A reader never sees half of it.
func writeOnce(name string, data []byte) ([]byte, error) {
	temporary, err := writeTemporary(name, data)
	if err != nil {
		return nil, err
	}
	defer os.Remove(temporary)
	// A link, unlike a rename, fails if the name exists.
	if err := os.Link(temporary, name); err == nil {
		return data, syncDir(filepath.Dir(name))
	} else if !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("write %s: %w", name, err)
	}
	return os.ReadFile(name)
}

// replace makes or replaces a file. A reader sees the old or the new whole.
func replace(name string, data []byte) error {
	temporary, err := writeTemporary(name, data)
	if err != nil {
		return err
	}
	if err := os.Rename(temporary, name); err != nil {
		return errors.Join(fmt.Errorf("write %s: %w", name, err), os.Remove(temporary))
	}
	return syncDir(filepath.Dir(name))
}

// writeTemporary writes a file that only its owner can read next to name.
func writeTemporary(name string, data []byte) (string, error) {
	file, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+".*")
	if err != nil {
		return "", fmt.Errorf("write %s: %w", name, err)
	}
	_, err = file.Write(data)
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		return "", errors.Join(fmt.Errorf("write %s: %w", name, err), os.Remove(file.Name()))
	}
	return file.Name(), nil
}

// syncDir makes a new name survive a power cut.
func syncDir(name string) error {
	dir, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
