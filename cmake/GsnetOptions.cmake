# Flags that every target of ours gets. -Wno-restrict: GCC 12 sees overlaps in std::string that are not there (PR 105651).
add_library(gsnet_options INTERFACE)
target_compile_options(gsnet_options INTERFACE -Wall -Wextra -Wconversion -Wshadow -Wno-missing-field-initializers -Wno-restrict
                       -fno-math-errno -fno-trapping-math)
if(GSNET_WERROR)
  target_compile_options(gsnet_options INTERFACE -Werror)
endif()
if(GSNET_SANITIZE)
  target_compile_options(gsnet_options INTERFACE -fsanitize=${GSNET_SANITIZE} -fno-omit-frame-pointer)
  target_link_options(gsnet_options INTERFACE -fsanitize=${GSNET_SANITIZE})
endif()
