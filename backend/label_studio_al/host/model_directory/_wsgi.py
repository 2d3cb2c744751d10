"""What `label-studio-ml start` runs, and what a WSGI server finds as `_wsgi:app`."""

from label_studio_al.host.wsgi import make_app, run

if __name__ == "__main__":
    run()
else:
    app = make_app()
