package pki

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"k8s.io/client-go/util/keyutil"
)

// sharedTokenKey is the name that the key of service account tokens has in
// [Shared].
const sharedTokenKey = "service-account.key"

// TokenKey is the key that signs service account tokens when the user brings
// none: made on the first start, kept in DIR/pki/sa.key, and the same for all
// servers of a database. It is an RSA key, since those who check tokens outside
// the cluster know RS256 best.
func (p *TLS) TokenKey(ctx context.Context) (crypto.Signer, error) {
	file := filepath.Join(p.options.Dir, "pki", "sa.key")
	local, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read the key of service account tokens: %w", err)
	}
	kept := local
	switch {
	case p.options.Shared != nil:
		kept, err = p.options.Shared.LoadOrStore(ctx, sharedTokenKey, func() ([]byte, error) {
			if local != nil {
				return local, nil
			}
			return newTokenKey()
		})
		if err != nil {
			return nil, fmt.Errorf("read the key of service account tokens from the database: %w", err)
		}
		if local == nil {
			err = replace(file, kept)
		} else if !bytes.Equal(local, kept) {
			err = fmt.Errorf("%s is not the key of this database's service account tokens: move it away and start again to take over the database's", file)
		}
	case local == nil:
		if kept, err = newTokenKey(); err == nil {
			kept, err = writeOnce(file, kept)
		}
	}
	if err != nil {
		return nil, err
	}
	key, err := keyutil.ParsePrivateKeyPEM(kept)
	if err != nil {
		return nil, fmt.Errorf("the key of service account tokens in %s can't be used: %w; restore it from a backup, or remove it to start with a new key (tokens that are in use then end)", file, err)
	}
	return key.(crypto.Signer), nil
}

func newTokenKey() ([]byte, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, fmt.Errorf("make the key of service account tokens: %w", err)
	}
	return encodeKey(key)
}
