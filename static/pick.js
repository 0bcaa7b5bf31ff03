// Selecting runs in the list: what is selected is counted, and shift selects all from the last one to this one, by a
// click or by the space bar.
"use strict";

document.addEventListener("change", (event) => {
  if (event.target.name !== "pick") return;
  const note = document.getElementById("paused");
  note.hidden = !picked();
  note.textContent = picked() ? `${picked()} selected; the list does not refresh meanwhile.` : "";
  if (!picked()) refresh();
});

let last = null;
document.addEventListener("click", (event) => {
  if (event.target.name !== "pick") return;
  const boxes = [...document.querySelectorAll("#runs [name=pick]")];
  const [from, to] = [boxes.indexOf(last), boxes.indexOf(event.target)].sort((one, other) => one - other);
  if (event.shiftKey && from >= 0) for (const box of boxes.slice(from, to + 1)) box.checked = event.target.checked;
  last = event.target;
});
