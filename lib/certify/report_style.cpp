#include "certify/report_style.h"

namespace gsnet::report {

const char* style() {
  return R"css(
:root { color-scheme: light; --paper: #fff; --ink: #1c2126; --muted: #5c6670; --rule: #d9dee3; --faint: #f4f6f8;
  --main: #28597f; --light: #a8c3d9; --area: #e9f0f6; --wrong: #b5562c;
  --serif: Charter, "Bitstream Charter", "Sitka Text", Cambria, "Source Serif 4", Georgia, serif;
  --sans: system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "Helvetica Neue", Arial, sans-serif; }
@media screen and (prefers-color-scheme: dark) {
  :root { color-scheme: dark; --paper: #14171a; --ink: #e2e6e9; --muted: #9aa5ae; --rule: #30373e; --faint: #1c2125;
    --main: #86b4da; --light: #3f5c75; --area: #1d2a35; --wrong: #dc8d60; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 56rem; padding: 3rem 1.5rem 4rem; background: var(--paper); color: var(--ink);
  font: 1.0625rem/1.55 var(--serif); overflow-wrap: anywhere; }
h1 { font-size: 1.9rem; line-height: 1.2; font-weight: 600; margin: 0 0 .3rem; text-wrap: balance; }
h2 { font-size: 1.25rem; line-height: 1.3; font-weight: 600; margin: 3rem 0 .6rem; break-after: avoid; }
h3 { font-size: 1rem; font-weight: 600; margin: 1.4rem 0 .5rem; break-after: avoid; }
p { margin: .5rem 0 .8rem; max-width: 44rem; }
.subtitle, .caption { color: var(--muted); }
.caption { font-size: .9375rem; }
.figures, table, svg, .gallery, .key { font-family: var(--sans); font-variant-numeric: tabular-nums lining-nums; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(8.5rem, 1fr)); gap: 1.4rem 1.5rem;
  margin: 1.8rem 0 0; padding: 1.2rem 0; border-top: 2px solid var(--ink); border-bottom: 1px solid var(--rule); }
.figures div { display: flex; flex-direction: column; }
.figures dt { font-size: .8125rem; line-height: 1.35; margin-top: .15rem; }
.figures dd { margin: 0; order: -1; font-size: 1.55rem; line-height: 1.25; font-weight: 600; white-space: nowrap; }
.figures dd + dd { order: 1; font-size: .8125rem; line-height: 1.35; font-weight: 400; color: var(--muted); white-space: normal; }
svg { display: block; width: 100%; height: auto; margin: .8rem 0 .4rem; break-inside: avoid; overflow: visible; }
svg text { font-size: 13px; fill: var(--muted); }
svg .title { fill: var(--ink); }
svg .note { fill: var(--ink); paint-order: stroke; stroke: var(--paper); stroke-width: 4px; stroke-linejoin: round; }
svg .note tspan { font-weight: 600; }
.axis { stroke: var(--muted); } .grid { stroke: var(--rule); }
.drop { stroke: var(--muted); stroke-dasharray: 2 3; }
.area { fill: var(--area); } .curve { fill: none; stroke: var(--main); stroke-width: 2; stroke-linejoin: round; }
.executed { fill: none; stroke: var(--main); stroke-dasharray: 4 3; stroke-linejoin: round; }
.above { fill: var(--wrong); } .other { fill: var(--light); stroke: var(--main); }
.aboveline, .otherline { fill: none; stroke: var(--wrong); stroke-linejoin: round; } .otherline { stroke: var(--muted); }
.point { fill: var(--main); fill-opacity: .55; } .truth { stroke: var(--wrong); }
.gallery.broken li { width: 19.5rem; } .broken div { display: flex; gap: .4rem; }
.mark { fill: var(--paper); stroke: var(--main); stroke-width: 2; }
rect.correct { fill: var(--main); } rect.wrong { fill: var(--wrong); }
.key { display: flex; flex-wrap: wrap; gap: .2rem 1.5rem; font-size: .875rem; margin: .4rem 0; }
.key i { display: inline-block; width: .75em; height: .75em; margin-right: .45em; border-radius: 1px;
  print-color-adjust: exact; -webkit-print-color-adjust: exact; }
i.certified, i.correct { background: var(--main); } i.clean { background: var(--light); }
i.wrong, i.above { background: var(--wrong); } i.executed { background: none; height: 0; vertical-align: middle;
  border-top: 2px dashed var(--main); width: 1.3em; } i.other { background: var(--light); }
.scroll { overflow-x: auto; }
.tall { max-height: 42rem; overflow-y: auto; border-bottom: 1px solid var(--rule); }
.tall thead th { position: sticky; top: 0; background: var(--paper); }
table { border-collapse: collapse; width: 100%; font-size: .875rem; line-height: 1.35; overflow-wrap: normal; }
th, td { text-align: left; vertical-align: baseline; padding: .34rem 1.1rem .34rem 0; font-weight: 400; }
thead th { color: var(--muted); font-size: .8125rem; vertical-align: bottom;
  box-shadow: inset 0 -1px var(--muted); }
tbody tr { border-bottom: 1px solid var(--rule); break-inside: avoid; }
th:last-child, td:last-child { padding-right: 0; }
.n { text-align: right; white-space: nowrap; }
.classes th:first-child { max-width: 16rem; overflow-wrap: break-word; }
.classes thead .n { white-space: normal; max-width: 7rem; }
.bars { width: 42%; min-width: 9rem; vertical-align: middle; }
thead .scale { vertical-align: bottom; } .scale span { float: left; width: 33.333%; text-align: center; }
.scale span:first-child { text-align: left; } .scale span:last-child { text-align: right; }
.bar { position: relative; display: block; height: .8rem; background: var(--faint); }
.bar i { position: absolute; left: 0; top: 0; bottom: 0; }
.bar .certified { top: .2rem; bottom: .2rem; }
.bar, .bar i { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
.layers th[scope], .layers td { max-width: 16rem; }
.layers td:nth-child(4) { white-space: nowrap; }
.total th, .total td { border-top: 1px solid var(--muted); font-weight: 600; }
.total td:last-child { font-weight: 400; color: var(--muted); }
.settings th[scope] { width: 30%; color: var(--muted); } .settings td { overflow-wrap: anywhere; }
.gallery { list-style: none; margin: 0; padding: 0; display: flex; flex-wrap: wrap; gap: 1rem 1.1rem; }
.gallery li { width: 6rem; font-size: .8125rem; line-height: 1.3; break-inside: avoid; }
.gallery img { display: block; max-width: 100%; max-height: 12rem; margin-bottom: .35rem; }
.gallery span { display: block; } .gallery .radius { color: var(--muted); }
.pixels { image-rendering: pixelated; }
@media (max-width: 36rem) {
  body { padding: 1.5rem 1rem 3rem; font-size: 1rem; } h1 { font-size: 1.5rem; } h2 { margin-top: 2.2rem; }
  .figures { grid-template-columns: repeat(2, 1fr); gap: 1rem; } .figures dd { font-size: 1.3rem; }
  svg text { font-size: 19px; } svg .note, svg .upright { display: none; }
  th, td { padding-right: .7rem; } .bars { min-width: 5rem; width: auto; } .classes th:first-child { max-width: 9rem; }
  .classes .n:nth-child(2), .scale span:nth-child(2) { display: none; } .scale span:first-child { width: 25%; } .scale span:last-child { width: 75%; } }
@media print {
  body { max-width: none; padding: 0; font-size: 10.5pt; } .scroll, .tall { overflow: visible; max-height: none; }
  .tall thead th { position: static; } svg { max-height: 11cm; } h2 { margin-top: 1.6rem; } }
)css";
}

}  // namespace gsnet::report
