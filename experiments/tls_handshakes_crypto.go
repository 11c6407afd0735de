package experiments

import (
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hkdf"
	"crypto/mlkem"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"time"
)

// tlsName is what the certificate is for.
const tlsName = "server.brink.example"

// tlsKeys are a certificate authority, made for this one run, and the server's key
// and certificate.
type tlsKeys struct {
	roots *x509.CertPool
	leaf  *x509.Certificate
	key   crypto.Signer

	signature []byte // the last one
}

// newTLSKeys: the authority's key is ECDSA in any case, as many are.
func newTLSKeys(useRSA bool) (*tlsKeys, error) {
	authorityKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	k := &tlsKeys{roots: x509.NewCertPool()}
	if k.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); useRSA {
		k.key, err = rsa.GenerateKey(rand.Reader, 2048)
	}
	if err != nil {
		return nil, err
	}
	now := time.Now()
	authority := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "brink's authority for one run"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	if authority, err = issue(authority, authority, authorityKey.Public(), authorityKey); err != nil {
		return nil, err
	}
	k.roots.AddCert(authority)
	k.leaf, err = issue(&x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: tlsName}, DNSNames: []string{tlsName},
		NotBefore: authority.NotBefore, NotAfter: authority.NotAfter,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, authority, k.key.Public(), authorityKey)
	return k, err
}

func issue(what, by *x509.Certificate, key crypto.PublicKey, byKey crypto.Signer) (*x509.Certificate, error) {
	der, err := x509.CreateCertificate(rand.Reader, what, by, key, byKey)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

func (k *tlsKeys) certificate() tls.Certificate {
	return tls.Certificate{Certificate: [][]byte{k.leaf.Raw}, PrivateKey: k.key}
}

// What follows are the pieces by hand, of both ends together. Go's TLS 1.3 takes
// SHA-256 for all of them, and AES-128-GCM wherever the CPU has instructions for it.

var pss = rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: crypto.SHA256}

// transcript stands for the hash of all messages so far.
var transcript = sha256.Sum256([]byte("ClientHello, ServerHello, Certificate"))

// sign is the server's CertificateVerify (RFC 8446, section 4.4.3).
func (k *tlsKeys) sign() (err error) {
	var how crypto.SignerOpts = crypto.SHA256
	if _, ok := k.key.(*rsa.PrivateKey); ok {
		how = &pss
	}
	k.signature, err = k.key.Sign(rand.Reader, transcript[:], how)
	return err
}

// verify is the client's part of that.
func (k *tlsKeys) verify() error {
	if key, ok := k.key.Public().(*rsa.PublicKey); ok {
		return rsa.VerifyPSS(key, crypto.SHA256, transcript[:], k.signature, &pss)
	}
	if !ecdsa.VerifyASN1(k.key.Public().(*ecdsa.PublicKey), transcript[:], k.signature) {
		return errors.New("the signature is wrong")
	}
	return nil
}

// verifyChain: does the certificate come from the authority, and is it for this name?
func (k *tlsKeys) verifyChain() error {
	leaf, err := x509.ParseCertificate(k.leaf.Raw)
	if err != nil {
		return err
	}
	_, err = leaf.Verify(x509.VerifyOptions{Roots: k.roots, DNSName: tlsName})
	return err
}

// exchangeShares: each end makes a key and combines it with the other's.
func exchangeShares() error {
	client, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	server, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	_, first := server.ECDH(client.PublicKey())
	_, second := client.ECDH(server.PublicKey())
	return errors.Join(first, second)
}

// encapsulate is the half of X25519MLKEM768 that quantum computers do not break.
func encapsulate() error {
	client, err := mlkem.GenerateKey768()
	if err != nil {
		return err
	}
	public, err := mlkem.NewEncapsulationKey768(client.EncapsulationKey().Bytes()) // as it came by wire
	if err != nil {
		return err
	}
	_, ciphertext := public.Encapsulate()
	_, err = client.Decapsulate(ciphertext)
	return err
}

// derivations is how often each end derives a secret or a key (RFC 8446, section
// 7.1): three extracts and two "derived"; four traffic secrets with a key and an
// IV each; two "finished" keys and their MACs; the exporter's and the resumption's.
const derivations = 3 + 2 + 4*3 + 2*2 + 2

func deriveKeys() error {
	const label = "tls13 s hs traffic: a label, and the hash of the transcript"
	secret, err := make([]byte, sha256.Size), error(nil)
	for range 2 * derivations {
		if secret, err = hkdf.Expand(sha256.New, secret, label, sha256.Size); err != nil {
			return err
		}
	}
	return nil
}

// encrypted is how many records of a handshake are: extensions, certificate, its
// signature, two "finished", a ticket, and the byte after it. Each end makes a
// cipher for each of the four traffic secrets: that is eight.
const encrypted = 8

func sealRecords() error {
	var nonce [12]byte
	for range encrypted {
		block, err := aes.NewCipher(transcript[:16])
		if err != nil {
			return err
		}
		gcm, err := cipher.NewGCM(block)
		if err != nil {
			return err
		}
		sealed := gcm.Seal(nil, nonce[:], make([]byte, 300), nil)
		if _, err := gcm.Open(sealed[:0], nonce[:], sealed, nil); err != nil {
			return err
		}
	}
	return nil
}
