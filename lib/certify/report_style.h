// The look of the page: one style sheet for screen, dark screen, narrow screen and paper.
#pragma once

namespace gsnet::report {

extern const char* const kStyle;

}  // namespace gsnet::report
