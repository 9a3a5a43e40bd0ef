"""What tests share: projects, clips, classifiers, servers, a browser, what to compare with."""
