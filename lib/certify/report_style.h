// The look of the page: one style sheet for screen, dark screen, narrow screen and paper.
#pragma once

namespace gsnet::report {

const char* style();

}  // namespace gsnet::report
