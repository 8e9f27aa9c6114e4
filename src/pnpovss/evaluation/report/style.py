"""The look of the report page: readable at any width from that of a telephone, and on paper."""

__all__ = ["STYLE"]

STYLE = """
:root{color-scheme:light}*{box-sizing:border-box}
body{font:15px/1.5 system-ui,sans-serif;color:#1d1d1f;background:#fff;margin:0 auto;max-width:1240px;padding:24px}
h1{font-size:26px;margin:0 0 12px}h2{margin:0;font-size:22px;overflow-wrap:anywhere}h3{margin:28px 0 8px}
section{margin-top:44px;border-top:1px solid #ddd;padding-top:20px}h4{margin:20px 0 6px}
nav{display:flex;flex-wrap:wrap;gap:2px 16px;overflow-wrap:anywhere}a{color:#0053a6}
:focus-visible{outline:3px solid #0053a6;outline-offset:2px}
.note{color:#555;font-size:13px}.headline{font-size:17px;margin:8px 0 4px}.note,.headline{overflow-wrap:anywhere}
.scroll{overflow-x:auto;margin:8px 0}table{border-collapse:collapse;font-size:13px}
th,td{padding:4px 9px;border-bottom:1px solid #e4e4e7;text-align:right;vertical-align:top}
th{background:#f5f5f7;vertical-align:bottom}td{white-space:nowrap}
th:first-child,td:first-child,td.text,th.text{text-align:left}td.text{white-space:normal;overflow-wrap:break-word}
table.runs td:last-child{white-space:normal}
ul.legend,ul.bars,ul.spread{list-style:none;margin:8px 0;padding:0}ul.bars{max-width:820px}ul.spread{max-width:760px}
.legend i,.key i{display:inline-block;width:11px;height:11px;margin-right:5px;border-radius:2px;
border:1px solid rgba(0,0,0,.4)}.legend li{padding-left:17px;text-indent:-17px}
ul.bars li{display:grid;grid-template-columns:170px 1fr;column-gap:8px;font-size:12px;align-items:center}
.name{text-align:right;overflow-wrap:anywhere;line-height:1.2}
.track{position:relative;margin-right:44px;padding:3px 0;
background:repeating-linear-gradient(to right,#e0e0e4 0 1px,transparent 1px 20%);
box-shadow:inset -1px 0 #e0e0e4}
.bar{position:relative;height:12px;margin:1px 0;border:1px solid rgba(0,0,0,.4);border-left-width:0}
.bar.none{border:0}.bar span{position:absolute;left:100%;top:-1px;padding-left:5px;line-height:12px;font-size:11px;
color:#333}
ul.spread li{display:grid;grid-template-columns:250px 1fr 140px;column-gap:10px;font-size:12px;align-items:center}
.spread .track{height:24px;margin:0;padding:0}.line{position:absolute;top:11px;height:2px;background:#0072b2}
.dot{position:absolute;top:7px;width:10px;height:10px;margin-left:-5px;border-radius:5px;background:#0072b2}
.track.axis{box-shadow:none;display:flex;justify-content:space-between;background:none;color:#555;font-size:11px;height:auto}
.axis span{width:0;display:flex;justify-content:center}
.photos{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,540px),1fr));gap:18px}figure{margin:0}
.trio{display:flex;gap:6px}.trio div{flex:1 1 0;min-width:0}.trio small{display:block;color:#555;font-size:11px}
.trio img{display:block;width:100%;max-height:240px;object-fit:contain;object-position:top left;border-radius:3px}
figcaption{font-size:13px}.key{margin-left:8px}.key span{margin-right:12px;white-space:nowrap}details{margin:10px 0}
summary{cursor:pointer}pre{background:#f5f5f7;padding:12px;overflow-x:auto;font-size:12px}
@media (max-width:760px){body{padding:16px}th,td{padding:4px 6px}ul.bars li{grid-template-columns:96px 1fr}
ul.spread li{grid-template-columns:1fr auto;row-gap:0}ul.spread .name{text-align:left}
ul.spread .track{grid-row:2;grid-column:1/3;margin:0 8px}ul.spread .value{text-align:right}
table.runs thead{display:none}table.runs,table.runs tbody,table.runs tr{display:block}
table.runs tr{border:1px solid #d2d2d7;border-radius:6px;margin-bottom:12px;padding:6px 10px}
table.runs td{display:flex;justify-content:space-between;gap:16px;padding:3px 0;text-align:right;white-space:normal}
table.runs td::before{content:attr(data-label);color:#555;text-align:left;flex:none}
table.runs td:first-child{font-weight:600}table.runs tr td:last-child{border:0}}
@media print{.scroll{overflow:visible}figure,tr,li{break-inside:avoid}}
"""
