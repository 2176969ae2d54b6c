package storage_test

import (
	"testing"

	"earshot/storage/storagetest"
)

func TestMain(m *testing.M) { storagetest.Main(m) }

func TestEmbedded(t *testing.T) { storagetest.Run(t, storagetest.Embedded(t)) }

func TestMinIO(t *testing.T) { storagetest.Run(t, storagetest.MinIO(t)) }
