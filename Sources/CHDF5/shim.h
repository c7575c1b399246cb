// libhdf5, with functions for what its header has as macros, which Swift cannot see.
#pragma once
#define H5_USE_110_API
#include <hdf5/serial/hdf5.h>
#include <string.h>

static inline hid_t h5_default(void) { return H5P_DEFAULT; }
static inline unsigned h5_read_only(void) { return H5F_ACC_RDONLY; }
static inline unsigned h5_truncate(void) { return H5F_ACC_TRUNC; }
static inline hid_t h5_double(void) { return H5T_NATIVE_DOUBLE; }
static inline hid_t h5_int64(void) { return H5T_NATIVE_INT64; }
static inline hid_t h5_uint64(void) { return H5T_NATIVE_UINT64; }
static inline hid_t h5_int8(void) { return H5T_NATIVE_INT8; }
static inline hid_t h5_float32(void) { return H5T_IEEE_F32LE; }
static inline hid_t h5_float64(void) { return H5T_IEEE_F64LE; }
static inline hid_t h5_signed(size_t bits) {
  return bits == 8 ? H5T_STD_I8LE : bits == 16 ? H5T_STD_I16LE : bits == 32 ? H5T_STD_I32LE : H5T_STD_I64LE;
}
static inline hid_t h5_unsigned(size_t bits) {
  return bits == 8 ? H5T_STD_U8LE : bits == 16 ? H5T_STD_U16LE : bits == 32 ? H5T_STD_U32LE : H5T_STD_U64LE;
}

// To be called first. Errors are not printed, no filter is ever loaded from a shared library, and nothing is done when
// the process ends: the library would close a file again that it could not flush, and crash.
static inline void h5_quiet(void) {
  H5dont_atexit();
  H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
  H5PLset_loading_state(0);
}

// How files are opened and created: without locks, which are no use here, and not allowed to contained processes.
static inline hid_t h5_access(void) {
  hid_t list = H5Pcreate(H5P_FILE_ACCESS);
#if H5_VERSION_GE(1, 10, 7)
  H5Pset_file_locking(list, 0, 1);
#endif
  return list;
}

// Files that are written: what version 1.8 reads, the data of large tensors at multiples of 64 bytes. The driver over
// C's streams takes paths of open descriptors as they are.
static inline hid_t h5_writing_access(void) {
  hid_t list = H5Pcreate(H5P_FILE_ACCESS);
  if (H5Pset_fapl_stdio(list) < 0) return -1;
  if (H5Pset_libver_bounds(list, H5F_LIBVER_V18, H5F_LIBVER_V110) < 0 || H5Pset_alignment(list, 1024, 64) < 0)
    return -1;
  return list;
}

// The order of links is kept, no times are.
static inline hid_t h5_group_list(hid_t kind) {
  hid_t list = H5Pcreate(kind);
  if (H5Pset_link_creation_order(list, H5P_CRT_ORDER_TRACKED | H5P_CRT_ORDER_INDEXED) < 0) return -1;
  if (H5Pset_obj_track_times(list, 0) < 0) return -1;
  return list;
}
static inline hid_t h5_root_list(void) { return h5_group_list(H5P_FILE_CREATE); }
static inline hid_t h5_groups_list(void) { return h5_group_list(H5P_GROUP_CREATE); }

// Datasets in one piece, which get a place at once and are not filled.
static inline hid_t h5_dataset_list(void) {
  hid_t list = H5Pcreate(H5P_DATASET_CREATE);
  if (H5Pset_layout(list, H5D_CONTIGUOUS) < 0 || H5Pset_alloc_time(list, H5D_ALLOC_TIME_EARLY) < 0 ||
      H5Pset_fill_time(list, H5D_FILL_TIME_NEVER) < 0 || H5Pset_obj_track_times(list, 0) < 0)
    return -1;
  return list;
}

// Names in UTF-8.
static inline hid_t h5_utf8_list(hid_t kind) {
  hid_t list = H5Pcreate(kind);
  return H5Pset_char_encoding(list, H5T_CSET_UTF8) < 0 ? -1 : list;
}
static inline hid_t h5_link_list(void) { return h5_utf8_list(H5P_LINK_CREATE); }
static inline hid_t h5_attribute_list(void) { return h5_utf8_list(H5P_ATTRIBUTE_CREATE); }

// Texts of any length in UTF-8.
static inline hid_t h5_text(void) {
  hid_t type = H5Tcopy(H5T_C_S1);
  return H5Tset_size(type, H5T_VARIABLE) < 0 || H5Tset_cset(type, H5T_CSET_UTF8) < 0 ? -1 : type;
}

static herr_t h5_first_error(unsigned n, const H5E_error2_t *error, void *text) {
  if (n == 0 && error->desc) strncpy((char *)text, error->desc, 255);
  return 0;
}

// What went wrong innermost, into `text` of 256 bytes.
static inline void h5_error_text(char *text) {
  text[0] = text[255] = 0;
  H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, h5_first_error, text);
}

// External links are never followed.
static herr_t h5_no_external(const char *group, const char *file, const char *target, unsigned *flags, hid_t access,
                             void *data) {
  (void)group, (void)file, (void)target, (void)flags, (void)access, (void)data;
  return -1;
}
static inline hid_t h5_inside_links(void) {
  hid_t list = H5Pcreate(H5P_LINK_ACCESS);
  if (list < 0 || H5Pset_elink_cb(list, h5_no_external, NULL) < 0 || H5Pset_nlinks(list, 16) < 0) return -1;
  return list;
}

// Calls `visit` with the name and the kind of each link of a group: 0 hard, 1 soft, others lead elsewhere.
typedef struct {
  int (*visit)(void *context, const char *name, int kind);
  void *context;
} h5_visitor;
static herr_t h5_link_step(hid_t group, const char *name, const H5L_info_t *info, void *data) {
  (void)group;
  h5_visitor *visitor = (h5_visitor *)data;
  return visitor->visit(visitor->context, name, (int)info->type);
}
static inline int h5_links(hid_t group, int by_creation, void *context,
                           int (*visit)(void *context, const char *name, int kind)) {
  h5_visitor visitor = {visit, context};
  return (int)H5Literate(group, by_creation ? H5_INDEX_CRT_ORDER : H5_INDEX_NAME, H5_ITER_INC, NULL, h5_link_step,
                         &visitor);
}

// The same for the attributes of an object, whose kind is 0.
static herr_t h5_attribute_step(hid_t object, const char *name, const H5A_info_t *info, void *data) {
  (void)object, (void)info;
  h5_visitor *visitor = (h5_visitor *)data;
  return visitor->visit(visitor->context, name, 0);
}
static inline int h5_attributes(hid_t object, void *context,
                                int (*visit)(void *context, const char *name, int kind)) {
  h5_visitor visitor = {visit, context};
  return (int)H5Aiterate2(object, H5_INDEX_NAME, H5_ITER_INC, NULL, h5_attribute_step, &visitor);
}

// Where an object's header stands, which tells objects apart; all ones when it cannot be told.
static inline uint64_t h5_address(hid_t object) {
  H5O_info_t info;
  return H5Oget_info(object, &info) < 0 ? UINT64_MAX : (uint64_t)info.addr;
}
