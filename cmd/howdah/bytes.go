package main

import (
	"errors"
	"strconv"

	"k8s.io/apimachinery/pkg/api/resource"
)

// bytesFlag is a number of bytes, written as Kubernetes writes quantities (20Gi).
type bytesFlag int64

func (b *bytesFlag) Set(text string) error {
	quantity, err := resource.ParseQuantity(text)
	if err != nil {
		return err
	}
	value, whole := quantity.AsInt64()
	if !whole || value < 0 {
		return errors.New("must be a whole number of bytes, 0 or more")
	}
	*b = bytesFlag(value)
	return nil
}

func (b *bytesFlag) String() string { return strconv.FormatInt(int64(*b), 10) }

func (*bytesFlag) Type() string { return "quantity" }
