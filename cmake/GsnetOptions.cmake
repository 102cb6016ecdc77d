# Flags that every target of ours gets. -Wno-restrict: GCC 12 sees overlaps in std::string that are not there (PR 105651).
add_library(gsnet_options INTERFACE)
set(cxx $<COMPILE_LANGUAGE:CXX>)
set(warnings -Wall -Wextra -Wconversion -Wshadow -Wno-missing-field-initializers -Wno-restrict)
target_compile_options(gsnet_options INTERFACE "$<${cxx}:${warnings};-fno-math-errno;-fno-trapping-math>")
if(GSNET_WERROR)
  target_compile_options(gsnet_options INTERFACE $<${cxx}:-Werror>)
endif()
if(GSNET_SANITIZE)
  # Left out is what takes as long as all other checks together: null and wild pointers, which show as faults or to the
  # address sanitizer, and alignment.
  target_compile_options(gsnet_options INTERFACE "$<${cxx}:-fsanitize=${GSNET_SANITIZE};-fno-omit-frame-pointer>"
                         "$<${cxx}:-fno-sanitize=null,vptr,object-size,alignment>")
  # The sanitizer's dlopen stands in for the program's: only an RPATH, no RUNPATH, is looked at then.
  target_link_options(gsnet_options INTERFACE -fsanitize=${GSNET_SANITIZE} LINKER:--disable-new-dtags)
endif()
