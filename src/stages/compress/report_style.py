"""The style sheet of report.html: light, dark and print; table rows become cards on a narrow screen."""

CSS = """
:root {
  color-scheme: light dark;
  --page: #f6f7f9; --card: #ffffff; --text: #1a2029; --muted: #59636f; --line: #dde2e8;
  --accent: #0a63c2; --accent-soft: #e5f0fc; --good: #12703c; --good-soft: #e2f4e9;
  --bad: #b3261e; --bad-soft: #fdecea; --warn: #8a5300; --warn-soft: #fff4de;
}
@media screen and (prefers-color-scheme: dark) {
  :root {
    --page: #0e1217; --card: #161c24; --text: #e7ecf2; --muted: #9ba7b4; --line: #2b343f;
    --accent: #6cb2ff; --accent-soft: #14283f; --good: #6fd39a; --good-soft: #12301f;
    --bad: #ff938a; --bad-soft: #3a1a18; --warn: #f2bd66; --warn-soft: #33260f;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; background: var(--page); color: var(--text);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
  font-variant-numeric: tabular-nums; -webkit-text-size-adjust: 100%; overflow-wrap: anywhere;
}
main { max-width: 1160px; margin: 0 auto; padding: 40px 24px 64px; }
h1, h2, h3, p, figure, dl, ul, ol { margin: 0; }
h1 { font-size: 15px; font-weight: 600; color: var(--muted); }
h2 { font-size: 20px; line-height: 1.3; margin: 44px 0 6px; letter-spacing: -0.01em; }
h3 { font-size: 15px; margin: 20px 0 8px; }
.note { color: var(--muted); font-size: 14px; max-width: 100ch; }
.card {
  background: var(--card); border: 1px solid var(--line); border-radius: 10px; margin-top: 14px;
}
header { display: flex; flex-wrap: wrap; gap: 8px 14px; align-items: center; }
.status { font-size: 13px; font-weight: 600; padding: 2px 10px; border-radius: 99px; }
.status.ok { color: var(--good); background: var(--good-soft); }
.status.no_candidate { color: var(--bad); background: var(--bad-soft); }
.status.interrupted { color: var(--warn); background: var(--warn-soft); }
.verdict { font-size: 25px; line-height: 1.38; letter-spacing: -0.015em; margin-top: 12px; max-width: 56ch;
  font-weight: 600; text-wrap: pretty; }
.limits { margin-top: 12px; padding: 0; list-style: none; display: flex; flex-wrap: wrap; gap: 2px 18px;
  color: var(--muted); font-size: 14px; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(220px, 1fr)); gap: 14px;
  margin-top: 28px; }
.figure { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 18px 20px; }
.figure b { display: block; font-size: 34px; line-height: 1.15; letter-spacing: -0.02em; }
.figure span { display: block; font-weight: 600; }
.figure small { display: block; margin-top: 6px; font-size: 13.5px; line-height: 1.45; color: var(--muted); }
.warnings { list-style: none; padding: 0; margin-top: 14px; }
.warnings li { background: var(--warn-soft); border-left: 3px solid var(--warn); border-radius: 4px;
  padding: 9px 14px; margin-top: 8px; font-size: 15px; }
table { width: 100%; border-collapse: collapse; font-size: 14.5px; }
th { overflow-wrap: break-word; }
th, td { padding: 11px 12px; text-align: right; vertical-align: top; border-top: 1px solid var(--line); }
thead th { border-top: 0; font-size: 13px; font-weight: 600; color: var(--muted); vertical-align: bottom; }
th.text, td.text { text-align: left; }
td small, th small { display: block; color: var(--muted); font-size: 12.5px; line-height: 1.4;
  font-weight: 400; }
.answers td.text:not(.title) { min-width: 112px; }
.answers td.text:not(.title) small { white-space: nowrap; }
td:not(.text), td:not(.text) small { white-space: nowrap; }
tr.recommended > * { background: var(--accent-soft); }
.name { font-weight: 600; }
.tag { display: inline-block; font-size: 12px; font-weight: 600; color: var(--accent);
  border: 1px solid currentColor; border-radius: 99px; padding: 0 8px; margin-left: 8px;
  white-space: nowrap; }
.letter { display: inline-block; min-width: 22px; height: 22px; line-height: 22px; border-radius: 99px;
  text-align: center; font-size: 12px; font-weight: 700; background: var(--line); margin-right: 10px;
  padding: 0 5px; }
tr.recommended .letter { background: var(--accent); color: var(--card); }
.held, .right { color: var(--good); }
.broken, .wrong, .failed { color: var(--bad); }
.held, .broken { display: block; white-space: nowrap; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 420px), 1fr)); gap: 14px; }
.plots > div { padding: 16px 14px 10px; }
svg { display: block; width: 100%; height: auto; max-width: 540px; margin: 0 auto; overflow: visible; }
svg text { font-size: 13px; fill: var(--text); }
svg .tick, svg .axis { fill: var(--muted); }
svg .middle { text-anchor: middle; } svg .end { text-anchor: end; }
.grid { stroke: var(--line); } .limit { stroke: var(--bad); stroke-dasharray: 5 4; stroke-width: 1.5; }
.frontier { fill: none; stroke: var(--accent); stroke-width: 2; opacity: 0.55; }
.error { fill: none; stroke: var(--muted); stroke-width: 1.5; }
.mark circle { fill: var(--card); stroke: var(--muted); stroke-width: 2; }
.mark text { font-size: 11.5px; font-weight: 700; }
.mark.within circle { stroke: var(--good); } .mark.outside circle { stroke: var(--bad); }
.mark.recommended circle { fill: var(--accent); stroke: var(--accent); }
.mark.recommended text { fill: var(--card); } .error.recommended { stroke: var(--accent); }
.legend { display: flex; flex-wrap: wrap; gap: 4px 20px; list-style: none; padding: 0; margin-top: 10px;
  color: var(--muted); font-size: 13.5px; }
.legend i { display: inline-block; width: 12px; height: 12px; border-radius: 99px; border: 2px solid;
  margin-right: 7px; vertical-align: -1px; color: var(--muted); }
.legend .recommended { color: var(--accent); background: var(--accent); }
.legend .within { color: var(--good); } .legend .outside { color: var(--bad); }
.legend .dash { height: 0; width: 18px; border-width: 0; border-top: 2px dashed; border-radius: 0;
  color: var(--bad); vertical-align: 4px; }
.legend .line { height: 0; width: 18px; border-width: 0; border-top: 2px solid; border-radius: 0;
  color: var(--accent); vertical-align: 4px; }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 440px), 1fr)); gap: 14px;
  align-items: start; }
.pair th, .pair td { padding: 10px 9px; } .pair > :has(.stack) { grid-column: 1 / -1; }
.scroll { overflow-x: auto; }
.confusion td { text-align: center; background: color-mix(in srgb, var(--accent) var(--share), transparent); }
.confusion th { text-align: center; } .confusion tbody th, .confusion th.text { text-align: left; }
caption { text-align: left; padding: 12px 12px 10px; font-weight: 600; font-size: 14.5px; }
.curves { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 250px), 1fr)); gap: 14px; }
.curves figure { padding: 12px 14px; margin: 0; }
.curves.card { border: 0; background: none; }
.curves figure { background: var(--card); border: 1px solid var(--line); border-radius: 10px; }
.curves figcaption { font-size: 13px; margin-bottom: 8px; } .curves figcaption b { display: block; }
.curves figcaption span { color: var(--muted); }
.loss { fill: none; stroke: var(--accent); stroke-width: 2; stroke-linejoin: round; }
.curves svg { max-width: none; }
details { margin-top: 12px; background: var(--card); border: 1px solid var(--line); border-radius: 10px; }
summary { cursor: pointer; padding: 12px 16px; font-weight: 600; }
details > :not(summary) { margin: 0 16px 16px; }
details p + p { margin-top: -8px; }
dl { display: grid; grid-template-columns: minmax(110px, max-content) 1fr; gap: 6px 18px; font-size: 14px; }
dt { color: var(--muted); } dd { margin: 0; }
code { font: 12.5px/1.55 ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; }
ol.commands { padding: 0; list-style: none; }
ol.commands li { border-top: 1px solid var(--line); padding: 10px 0; font-size: 14px; }
ol.commands li:first-child { border-top: 0; }
ol.commands li > span { color: var(--muted); }
ol.commands code { display: block; white-space: pre-wrap; margin-top: 4px; }
code span { display: inline-block; max-width: 100%; }
ul.plain { padding-left: 20px; margin-top: 10px; font-size: 15px; }
@media (max-width: 900px) {
  main { padding: 24px 16px 48px; }
  .verdict { font-size: 21px; }
  .plots svg text { font-size: 16px; } .plots .mark text { font-size: 13px; }
  .figures { grid-template-columns: repeat(auto-fit, minmax(160px, 1fr)); gap: 10px; }
  .figure { padding: 14px; } .figure b { font-size: 27px; }
  .stack, .stack tbody, .stack tr, .stack td { display: block; }
  .stack thead { display: none; } .stack caption { display: block; padding: 12px 14px 0; }
  .stack tr { padding: 12px 14px; border-top: 1px solid var(--line); }
  .stack tbody tr:first-child { border-top: 0; }
  .stack td { border: 0; padding: 2px 0; text-align: left; }
  .stack td:not(.text), .stack td:not(.text) small { white-space: normal; }
  .stack td::before { content: attr(data-label); color: var(--muted); font-size: 13px; }
  .stack td:not(.title) { display: flex; align-items: baseline; gap: 10px; }
  .stack td:not(.title)::before { flex: 0 0 118px; }
  .stack td.empty:not(.title) { display: none; }
  .stack td:not(.title) > div { display: flex; flex-wrap: wrap; align-items: baseline; gap: 0 10px; }
  .stack td.title { display: block; padding-bottom: 6px; } .stack td.title::before { content: none; }
  .stack tr.recommended { background: var(--accent-soft); }
  dl { grid-template-columns: 1fr; gap: 0; } dd { margin-bottom: 8px; }
}
@media print {
  :root { --page: #fff; --card: #fff; --text: #000; --muted: #444; --line: #bbb; color-scheme: light; }
  main { max-width: none; padding: 0; }
  body { font-size: 12px; }
  .card, .figure, figure, tr, svg { break-inside: avoid; }
  h2 { break-after: avoid; }
  details::details-content { content-visibility: visible; height: auto; }
}
"""
