/* Runs in the browser: when a page is due for its next look, and where a click in a table leads. */
window.dash_clientside = window.dash_clientside || {};
window.dash_clientside.trueup = {
  // Not while hidden, and not while the last question is still open: answers must not pile up on a slow plane.
  due: function (n, due, done) {
    const stay = window.dash_clientside.no_update;
    const now = Date.now();
    const open = due && due !== done;
    const lost = { display: open && now - due > 8000 ? "block" : "none" };
    if (document.hidden) return [stay, stay];
    if (open && now - due < 15000) return [stay, lost];
    return [now, lost];
  },
  // A row that names an address leads there when it is clicked, unless the click was on a link or marked text.
  follow: function (cell, rows) {
    const stay = window.dash_clientside.no_update;
    if (!cell || String(window.getSelection())) return stay;
    const row = (rows || []).find(function (one) { return one.id === cell.rowId; });
    return row && row.link ? row.link : stay;
  },
  // The numbers of the lines of an editor, those with a problem marked.
  lines: function (text, marks) {
    const count = (text || "").split("\n").length;
    const wrong = new Set(marks || []);
    return Array.from({ length: count }, function (_, n) { return (wrong.has(n + 1) ? "✕ " : "") + (n + 1); }).join("\n");
  },
  // What stands in an editor once the typing rests: the plane is not asked at every key.
  settled: function (text, readOnly) {
    const stay = window.dash_clientside.no_update;
    if (readOnly) return stay;
    const mine = {};
    window.dash_clientside.trueup.typed = mine;
    return new Promise(function (resolve) {
      setTimeout(function () { resolve(window.dash_clientside.trueup.typed === mine ? text : stay); }, 350);
    });
  },
  // What a click opened below the table goes into the address, without a visit to it.
  address: function (cell, rows) {
    const row = cell && (rows || []).find(function (one) { return one.id === cell.rowId; });
    if (row && row.link) window.history.replaceState(null, "", row.link);
  },
};
// A row opens by the keyboard as it does by a click.
document.addEventListener("keydown", function (event) {
  const cell = event.key === "Enter" && event.target.closest && event.target.closest(".ag-cell");
  if (cell) cell.click();
});
// The numbers of an editor move with its lines.
document.addEventListener("scroll", function (event) {
  const area = event.target;
  const frame = area.classList && area.classList.contains("tu-text") && area.closest(".tu-editor");
  if (frame) frame.querySelector(".tu-lines").scrollTop = area.scrollTop;
}, true);
