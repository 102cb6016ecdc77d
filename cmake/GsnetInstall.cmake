# install: headers, libraries, the command, and a package for find_package(gsnet).
include(CMakePackageConfigHelpers)
install(TARGETS gsnet gsnet_data EXPORT gsnet_targets)
if(GSNET_OPENCV)
  install(TARGETS gsnet_pictures LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
endif()
if(GSNET_APPS)
  install(TARGETS gsnet_command)
endif()
install(DIRECTORY lib/ DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/gsnet FILES_MATCHING PATTERN "*.h"
        PATTERN "json_text.h" EXCLUDE PATTERN "io/onnx" EXCLUDE PATTERN "io/no_onnx" EXCLUDE
        PATTERN "backend/host" EXCLUDE PATTERN "backend/reference" EXCLUDE PATTERN "backend/cpu" EXCLUDE
        PATTERN "backend/check" EXCLUDE PATTERN "backend/cuda" EXCLUDE PATTERN "backend/no_cuda" EXCLUDE)
install(FILES data/dataset.h data/loader.h data/fetch.h data/tolerant.h data/verification.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/gsnet/data)
install(DIRECTORY docs/ DESTINATION ${CMAKE_INSTALL_DOCDIR} FILES_MATCHING PATTERN "*.md" PATTERN "*.svg")
install(DIRECTORY recipes models DESTINATION ${CMAKE_INSTALL_DATADIR}/gsnet)
install(EXPORT gsnet_targets NAMESPACE gsnet:: DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/gsnet)
configure_package_config_file(${PROJECT_SOURCE_DIR}/cmake/gsnet-config.cmake.in
                              ${PROJECT_BINARY_DIR}/gsnet-config.cmake
                              INSTALL_DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/gsnet)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/gsnet-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/gsnet-config.cmake ${PROJECT_BINARY_DIR}/gsnet-config-version.cmake
              ${PROJECT_SOURCE_DIR}/cmake/FindOneDNN.cmake ${PROJECT_SOURCE_DIR}/cmake/FindOnnxProto.cmake
              ${PROJECT_SOURCE_DIR}/cmake/FindCuDNN.cmake
        DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/gsnet)
