"""The style sheet of the HTML report: screen and paper (data)."""

STYLE = """
:root{--ink:#1d2733;--soft:#5d6b7a;--line:#d8dee6;--green:#1d7f4e;--yellow:#b07d00;--red:#b3261e;--grey:#6b7280}
*{box-sizing:border-box}
body{font:15px/1.55 "Noto Sans CJK SC","Source Han Sans SC","Microsoft YaHei","PingFang SC",sans-serif;color:var(--ink);
max-width:960px;margin:0 auto;padding:24px}
header{border-bottom:2px solid var(--ink);margin-bottom:16px}
h1{font-size:26px;margin:0}h2{font-size:18px;margin:28px 0 8px;border-left:4px solid var(--ink);padding-left:8px}
h2 small{font-weight:400;color:var(--soft)}
.draft{float:right;border:1px solid var(--red);color:var(--red);padding:2px 10px;margin:6px 0;letter-spacing:.1em}
.verdict{display:flex;gap:20px;align-items:center;border:1px solid var(--line);border-radius:8px;padding:14px 18px}
.verdict ul{margin:6px 0;padding-left:20px}
.lamp{flex:0 0 76px;height:76px;border-radius:50%;color:#fff;display:grid;place-items:center;
font-size:22px;font-weight:700}
.green .lamp,.chip.green{background:var(--green)}.yellow .lamp,.chip.yellow{background:var(--yellow)}
.red .lamp,.chip.red{background:var(--red)}.grey .lamp,.chip.grey{background:var(--grey)}
.chip{color:#fff;border-radius:10px;padding:1px 9px;font-size:13px;white-space:nowrap}
.cards{display:grid;grid-template-columns:repeat(4,1fr);gap:10px;margin:14px 0}
.card{border:1px solid var(--line);border-radius:6px;padding:8px 12px}
.card span{display:block;color:var(--soft);font-size:13px}.card b{font-size:19px;font-variant-numeric:tabular-nums}
.card i{font-style:normal;color:var(--soft);font-size:12px;margin-left:4px}
.note{color:var(--soft);font-size:13px}
.wide{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:13.5px;font-variant-numeric:tabular-nums}
th,td{border-bottom:1px solid var(--line);padding:5px 8px;text-align:right;vertical-align:top}
th{background:#f3f5f8;font-weight:600}
th:first-child,td:first-child,.said th:nth-child(2),.said td:nth-child(2){text-align:left}
.named th:nth-child(-n+3),.named td:nth-child(-n+3){text-align:left}
dl{display:grid;grid-template-columns:max-content max-content max-content max-content;gap:3px 18px;margin:8px 0}
dt{color:var(--soft)}dd{margin:0;text-align:right;font-variant-numeric:tabular-nums}
code{font-size:12px;color:var(--soft)}
.chart{width:100%;height:auto;margin:8px 0}.chart text{font-size:11px;fill:var(--ink)}
.chart .first{fill:#b3261e}.chart .second{fill:#9ec1e8}h3{font-size:15px;margin:14px 0 4px}
.chart .whole{fill:#5d6b7a}
.chart .plus{fill:#4e79a7}.chart .minus{fill:#59a14f}.chart polyline{fill:none;stroke:#4e79a7;stroke-width:2}
figure{margin:8px 0}figcaption{color:var(--soft);font-size:13px}
a{color:inherit}
@media (max-width:640px){body{padding:14px}.chart{min-width:560px}.draft{float:none;display:inline-block}
th,td{white-space:nowrap}.said td:nth-child(2){min-width:150px;white-space:normal}
.cards{grid-template-columns:repeat(2,1fr)}dl{grid-template-columns:max-content max-content}}
@media print{@page{size:A4;margin:14mm}body{padding:0;font-size:12px}.page{break-before:page}
tr,figure,.verdict,.cards{break-inside:avoid}h2,h3,.verdict{break-after:avoid}*{-webkit-print-color-adjust:exact;print-color-adjust:exact}}
"""
