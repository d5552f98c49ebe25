//! Ruby, PHP and Deno.

use std::path::Path;

use crate::found::{Part, Program, Serve, Start};
use crate::tree::Tree;
use crate::words::code;

/// The Ruby, PHP or Deno app of `folder`, if there is one.
pub fn look(tree: &Tree, folder: &Path) -> Option<Part> {
    ruby(tree, folder).or_else(|| php(tree, folder)).or_else(|| deno(tree, folder))
}

fn ruby(tree: &Tree, folder: &Path) -> Option<Part> {
    if !tree.has(folder.join("config.ru")) {
        return None;
    }
    let gems = tree.text(folder.join("Gemfile")) + &tree.text(folder.join("Gemfile.lock"));
    let rails = tree.has(folder.join("bin/rails"));
    let what = match (rails, gems.contains("sinatra")) {
        (true, _) => "a Rails app",
        (_, true) => "a Sinatra app",
        _ => "a Rack app",
    };
    let run = match gems.contains("puma") || rails {
        true => "bundle exec puma --bind tcp://127.0.0.1:$PORT",
        false => "bundle exec rackup --host 127.0.0.1 --port $PORT",
    };
    let mut program = Program { start: Start::Run(run.to_owned()), ..Program::default() };
    program.env = vec![("RACK_ENV", "production".to_owned())];
    if rails {
        program.env = vec![("RAILS_ENV", "production".to_owned()), ("RAILS_SERVE_STATIC_FILES", "1".to_owned())];
        program.pre_start = vec!["bin/rails db:prepare".to_owned(), "bin/rails assets:precompile".to_owned()];
    }
    let part = Part::new(folder, format!("{what} ({})", code("config.ru")), Serve::App(program))
        .todo("Its gems must be installed: `bundle install`.");
    Some(match rails {
        true => part.todo("Rails needs its key: put RAILS_MASTER_KEY or SECRET_KEY_BASE into a file, and name the file as `env_file`."),
        false => part,
    })
}

/// PHP is run by another program: doorstep speaks HTTP to it, not FastCGI.
fn php(tree: &Tree, folder: &Path) -> Option<Part> {
    let wordpress = tree.has(folder.join("wp-config.php")) || tree.has(folder.join("wp-load.php"));
    let root = ["public", "web", ""].into_iter().find(|root| tree.has(folder.join(root).join("index.php")))?;
    let what = if tree.has(folder.join("artisan")) {
        "a Laravel app"
    } else if wordpress {
        "a WordPress site"
    } else if tree.has(folder.join("bin/console")) {
        "a Symfony app"
    } else {
        "a PHP site"
    };
    let root = if root.is_empty() { "." } else { root };
    let program = Program { start: Start::Run(format!("php -S 127.0.0.1:$PORT -t {root}")), ..Program::default() };
    let index = Path::new(root).join("index.php");
    Some(
        Part::new(folder, format!("{what} ({})", code(index.strip_prefix(".").unwrap_or(&index))), Serve::App(program))
            .assuming("PHP's own small server (`php -S`) is enough for a try and a few visitors; it is made for development.")
            .todo(format!(
                "doorstep does not run PHP itself and does not speak FastCGI to php-fpm. For more visitors, write `run = \"frankenphp php-server --listen 127.0.0.1:$PORT --root {root}\"`, or put php-fpm behind a small web server of its own and lead the site there with `proxy`."
            )),
    )
}

fn deno(tree: &Tree, folder: &Path) -> Option<Part> {
    let name = ["deno.json", "deno.jsonc"].into_iter().find(|name| tree.has(folder.join(name)))?;
    let task = tree.text(folder.join(name)).contains("\"start\"");
    let main = ["main.ts", "server.ts", "mod.ts"].into_iter().find(|file| tree.has(folder.join(file)));
    let run = match (task, main) {
        (true, _) => "deno task start".to_owned(),
        (false, Some(main)) => format!("deno run --allow-net --allow-env --allow-read {main}"),
        (false, None) => return None,
    };
    let program = Program { start: Start::Run(run), ..Program::default() };
    Some(
        Part::new(folder, format!("a Deno app ({})", code(name)), Serve::App(program))
            .assuming("It listens on the port in $PORT: `Deno.serve({ port: Number(Deno.env.get(\"PORT\")) }, …)`."),
    )
}
