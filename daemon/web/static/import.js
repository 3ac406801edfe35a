// A file that is dropped is one that was chosen.
const drop = document.getElementById("drop"), file = document.getElementById("file");
document.getElementById("or").hidden = false;
for (const name of ["dragenter", "dragover"]) {
  drop.addEventListener(name, (event) => { event.preventDefault(); drop.classList.add("over"); });
}
drop.addEventListener("dragleave", () => drop.classList.remove("over"));
drop.addEventListener("drop", (event) => {
  event.preventDefault();
  drop.classList.remove("over");
  if (!event.dataTransfer.files.length) return;
  file.files = event.dataTransfer.files;
  document.getElementById("import").requestSubmit();
});
