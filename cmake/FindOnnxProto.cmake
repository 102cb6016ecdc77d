# ONNX's protobuf classes (Debian: libonnx-dev), as <onnx/onnx_pb.h>: the messages only, no checker and no operators.
find_path(OnnxProto_INCLUDE_DIR onnx/onnx_pb.h)
find_library(OnnxProto_LIBRARY onnx_proto)
find_package(Protobuf QUIET)
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(OnnxProto REQUIRED_VARS OnnxProto_LIBRARY OnnxProto_INCLUDE_DIR Protobuf_FOUND)
mark_as_advanced(OnnxProto_INCLUDE_DIR OnnxProto_LIBRARY)
if(OnnxProto_FOUND AND NOT TARGET OnnxProto::onnx_proto)
  add_library(OnnxProto::onnx_proto UNKNOWN IMPORTED)
  set_target_properties(OnnxProto::onnx_proto PROPERTIES
                        IMPORTED_LOCATION ${OnnxProto_LIBRARY}
                        INTERFACE_INCLUDE_DIRECTORIES ${OnnxProto_INCLUDE_DIR}
                        INTERFACE_COMPILE_DEFINITIONS "ONNX_ML=1;ONNX_NAMESPACE=onnx"
                        INTERFACE_LINK_LIBRARIES protobuf::libprotobuf)
endif()
