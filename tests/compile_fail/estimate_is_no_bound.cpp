// Compiled twice: as it is, which must work, and with GSNET_MUST_FAIL, which must not: an estimate cannot certify.
#include "certify/margin.h"

gsnet::Certificate use(std::span<const double> logits, const gsnet::MarginGeometry& geometry) {
#ifdef GSNET_MUST_FAIL
  const gsnet::Estimate scale{4};
#else
  const gsnet::UpperBound scale = gsnet::UpperBound::proven(4);
#endif
  return gsnet::certify(logits, geometry, scale);
}
