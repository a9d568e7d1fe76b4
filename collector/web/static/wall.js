// The wall: shows one face after the other, and says plainly when what it shows is old. Its age is counted by
// this browser's own steady clock from what the collector said, so a screen with a wrong clock is no matter.
// Nothing is ever added: the page is refreshed in place (page.js), so it may stand for weeks.

const FACES = 4;
const { turn, oldAfter } = document.body.dataset;
const wall = document.getElementById("wall");
const banner = document.getElementById("old");
let face = 0;
let saidAge = Number(wall.dataset.age);
let saidAt = performance.now();

function age() {
  return saidAge + (performance.now() - saidAt) / 1000;
}

function spell(seconds) {
  const minutes = Math.floor(seconds / 60);
  return minutes < 60 ? `${minutes}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`
    : `${Math.floor(minutes / 60)}:${String(minutes % 60).padStart(2, "0")}:00`;
}

function showAge() {
  const seconds = age();
  banner.hidden = seconds < Number(oldAfter);
  if (!banner.hidden) document.getElementById("old-for").textContent = spell(seconds);
}

document.addEventListener("refreshed", () => {
  saidAge = Number(wall.dataset.age);
  saidAt = performance.now();
  showAge();
});
setInterval(showAge, 1000);
setInterval(() => {
  face = (face + 1) % FACES;
  document.body.dataset.face = String(face);
}, Number(turn) * 1000);
document.body.dataset.face = "0";
