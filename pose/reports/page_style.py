"""How a report looks: one style sheet for light and dark, wide screens, phones and paper.

Colours c0 to c7 are those of lines and bars; they stay apart for common kinds of colour blindness.
heat0 to heat9 fill the cells of tables.
"""

LIGHT = """
--paper: #fbfbfa; --card: #ffffff; --ink: #1d1f23; --soft: #5d636e; --edge: #dfe1e5;
--c0: #2166ac; --c1: #e08214; --c2: #1b8a5a; --c3: #b2479b; --c4: #c0392b; --c5: #0f8fa8;
--c6: #8a6d1f; --c7: #6c6f7a; --good: #9cb8a6; --left: #d97706; --right: #2563eb;
--heat: 192, 57, 43;
"""

DARK = """
--paper: #16181c; --card: #1f2227; --ink: #eceef1; --soft: #a3a9b4; --edge: #363b43;
--c0: #6aaef0; --c1: #f5a742; --c2: #4cc38a; --c3: #e08fd0; --c4: #f07b6c; --c5: #52c7dd;
--c6: #d8bd63; --c7: #a3a7b3; --good: #4d6b58; --left: #ffa94d; --right: #6aa5ff;
--heat: 240, 110, 92;
"""

_COLORS = (
    "".join(f".c{i} {{ --own: var(--c{i}); }}\n" for i in range(8))
    + ".good { --own: var(--good); }\n.below { --own: var(--c4); }\n"
)

_HEAT = "".join(
    f".heat{i} {{ background: rgba(var(--heat), {i * 0.065:.3f}); }}\n" for i in range(10)
)

CSS = f"""
:root {{ {LIGHT} color-scheme: light dark; }}
@media (prefers-color-scheme: dark) {{ :root {{ {DARK} }} }}
* {{ box-sizing: border-box; }}
body {{ margin: 0 auto; max-width: 1120px; padding: 16px; background: var(--paper);
  color: var(--ink); font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }}
h1 {{ font-size: 1.6rem; line-height: 1.2; margin: 8px 0 0; }}
h2 {{ font-size: 1.2rem; margin: 0 0 4px; }}
h3 {{ font-size: 1rem; margin: 0 0 4px; }}
p {{ color: var(--soft); margin: 0 0 12px; max-width: 75ch; overflow-wrap: anywhere; }}
section {{ background: var(--card); border: 1px solid var(--edge); border-radius: 10px;
  padding: 16px; margin: 16px 0; }}
.row {{ display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 400px), 1fr));
  gap: 24px; align-items: start; }}
.part {{ min-width: 0; margin-bottom: 12px; }}
.tiles {{ display: grid; grid-template-columns: repeat(auto-fit, minmax(96px, 1fr)); gap: 8px;
  margin: 0 0 12px; }}
.tiles div {{ border: 1px solid var(--edge); border-radius: 8px; padding: 8px 10px; }}
.tiles dt {{ color: var(--soft); font-size: .8rem; line-height: 1.25; }}
.tiles dd {{ margin: 0; font-size: 1.2rem; font-variant-numeric: tabular-nums; }}
.wide {{ overflow-x: auto; margin-bottom: 14px; }}
table {{ border-collapse: collapse; width: 100%; font-size: .88rem;
  font-variant-numeric: tabular-nums; }}
caption {{ text-align: left; color: var(--soft); padding-bottom: 4px; }}
th, td {{ text-align: left; padding: 4px 8px; border-bottom: 1px solid var(--edge);
  white-space: nowrap; }}
th {{ color: var(--soft); font-weight: 600; vertical-align: bottom; }}
.number {{ text-align: right; }}
figure {{ margin: 0; max-width: 520px; }}
svg {{ display: block; width: 100%; height: auto; }}
svg text {{ font: 11px system-ui, sans-serif; fill: var(--ink); }}
svg .end {{ text-anchor: end; }}
svg .middle {{ text-anchor: middle; }}
svg .axis {{ fill: var(--soft); }}
.grid {{ stroke: var(--edge); stroke-width: 1; }}
.line {{ fill: none; stroke: var(--own); stroke-width: 2; stroke-linejoin: round; }}
.dot, .bar {{ fill: var(--own); }}
.legend {{ display: flex; flex-wrap: wrap; gap: 2px 14px; font-size: .82rem; color: var(--soft);
  margin-top: 2px; }}
.swatch {{ display: inline-block; width: 10px; height: 10px; border-radius: 2px;
  margin-right: 5px; background: var(--own); }}
{_COLORS}{_HEAT}
.filters {{ display: flex; flex-wrap: wrap; gap: 8px 14px; margin-bottom: 12px; }}
.filters label {{ display: flex; flex-direction: column; font-size: .8rem; color: var(--soft); }}
select, button {{ font: inherit; font-size: .95rem; color: var(--ink); background: var(--paper);
  border: 1px solid var(--edge); border-radius: 6px; padding: 5px 8px; }}
.gallery {{ display: grid; gap: 12px; align-items: start;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, 320px), 1fr)); }}
.card {{ border: 1px solid var(--edge); border-radius: 8px; overflow: hidden; margin: 0;
  max-width: none; break-inside: avoid; }}
.pair {{ display: grid; grid-template-columns: 1fr 1fr; gap: 2px; background: var(--edge); }}
.pair div {{ position: relative; background: #2c2e33; }}
.pair span {{ position: absolute; left: 4px; top: 4px; background: rgba(20, 20, 24, .72);
  color: #f0f0e1; font-size: .72rem; line-height: 1.4; border-radius: 4px; padding: 0 5px; }}
.card svg {{ aspect-ratio: 3 / 4; }}
.card img {{ display: block; width: 100%; aspect-ratio: 4 / 3; object-fit: contain;
  background: #2c2e33; }}
.card svg .rim {{ stroke: #141418; fill: none; stroke-linecap: round; }}
.card svg .limb {{ fill: none; stroke-linecap: round; }}
.card .m {{ stroke: #f0f0e1; }} .card .l {{ stroke: #ff9614; }} .card .r {{ stroke: #2896ff; }}
.card circle.m {{ fill: #f0f0e1; }} .card circle.l {{ fill: #ff9614; }}
.card circle.r {{ fill: #2896ff; }}
.card circle.hidden {{ fill: #141418; }}
.card .wrong {{ fill: none; stroke: #ff3b30; }}
figcaption {{ padding: 6px 8px; font-size: .82rem; line-height: 1.35; overflow-wrap: anywhere; }}
figcaption b {{ font-weight: 600; }}
figcaption small {{ color: var(--soft); display: block; }}
.more {{ margin-top: 12px; }}
@media print {{
  :root {{ {LIGHT} --paper: #ffffff; color-scheme: light; font-size: 12px; }}
  .row {{ grid-template-columns: 1fr 1fr; }}
  body {{ max-width: none; padding: 0; font-size: 1rem; }}
  th, td {{ padding: 3px 4px; }}
  section {{ border: 0; padding: 0; }}
  figure, tr, .tiles, .row .part, .row .wide {{ break-inside: avoid; }}
  h2, h3, h2 + p, h3 + p, caption {{ break-after: avoid; }}
  .filters, .more {{ display: none; }}
  * {{ print-color-adjust: exact; -webkit-print-color-adjust: exact; }}
}}
@media (max-width: 600px) {{
  body {{ padding: 8px; }} table {{ font-size: .8rem; }} th, td {{ padding: 3px 5px; }}
  section {{ padding: 12px; margin: 10px 0; border-radius: 8px; }}
}}
"""
