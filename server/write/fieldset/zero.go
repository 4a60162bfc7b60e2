package fieldset

import (
	"reflect"
	"unsafe"

	"sigs.k8s.io/structured-merge-diff/v6/value"
)

// zero is where a struct has a field that JSON leaves out when it is zero, and how
// much of it to look at to see that. Most fields of most objects are, and asking
// reflection for each is what a walk took most of its time for.
type zero struct {
	offset uintptr
	width  uintptr // in bytes; 0: ask reflection
}

// zeroOf looks for the entry's field in the struct type t.
func zeroOf(t reflect.Type, entry *value.FieldCacheEntry) zero {
	example := reflect.New(t).Elem()
	v := entry.GetFrom(example)
	if !v.IsValid() || !v.CanAddr() || !entry.CanOmit(v) {
		return zero{}
	}
	z := zero{offset: v.UnsafeAddr() - example.UnsafeAddr()}
	switch v.Kind() {
	case reflect.Bool, reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		z.width = v.Type().Size()
	case reflect.Pointer, reflect.Map, reflect.Slice:
		z.width = unsafe.Sizeof(uintptr(0)) // nil; what is empty, but not nil, is for reflection
	case reflect.String:
		z.offset += unsafe.Offsetof(stringHeader{}.length)
		z.width = unsafe.Sizeof(stringHeader{}.length)
	}
	return z
}

// stringHeader is how Go lays out a string.
type stringHeader struct {
	_      unsafe.Pointer
	length int
}

// of says whether the field of the struct at that address is zero for certain.
func (z zero) of(structure unsafe.Pointer) bool {
	if structure == nil {
		return false
	}
	field := unsafe.Add(structure, z.offset)
	switch z.width {
	case 1:
		return *(*uint8)(field) == 0
	case 2:
		return *(*uint16)(field) == 0
	case 4:
		return *(*uint32)(field) == 0
	case 8:
		return *(*uint64)(field) == 0
	}
	return false
}

// address is where a struct is; nil if it is nowhere.
func address(v reflect.Value) unsafe.Pointer {
	if !v.IsValid() || !v.CanAddr() {
		return nil
	}
	return v.Addr().UnsafePointer()
}
