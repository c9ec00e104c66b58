// The switch between light and dark; without a choice the system's is followed.
const root = document.documentElement;
const kept = localStorage.getItem("tidegate-theme");
if (kept === "light" || kept === "dark") root.dataset.theme = kept;

const button = document.querySelector("[data-theme-switch]");
const dark = () =>
  root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
// It names what a click would choose.
const say = () => {
  button.textContent = dark() ? "Light mode" : "Dark mode";
};
button.hidden = false;
button.addEventListener("click", () => {
  root.dataset.theme = dark() ? "light" : "dark";
  localStorage.setItem("tidegate-theme", root.dataset.theme);
  say();
  dispatchEvent(new Event("themechange"));
});
say();
